// Package storetest checks that a [persist.Store] keeps the contract written
// on that interface.
//
// [Run] tries every sentence of the contract on a store and returns all
// violations, each with the [Rule] that it breaks. [Memory] is a store that
// keeps all of them in memory, for tests of whatever sits on a store.
// [Options] says what the store can do beyond the contract, such as being
// damaged on purpose.
package storetest
