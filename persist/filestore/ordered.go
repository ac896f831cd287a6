package filestore

import "strconv"

// ordered calls do(i) for 0 ≤ i < n with at most workers calls at a time and
// yields the results in the order of i, reading ahead by no more than window.
// It returns false where yield did, after every call has ended.
//
// start runs a function on a goroutine of that name; with one worker, or one
// thing to do, everything runs on the caller's. do learns the name of the
// goroutine it runs on, "" for the caller's.
func ordered[T any](n, workers, window int, start func(string, func()), do func(who string, i int) T, yield func(i int, v T) bool) bool {
	workers = min(workers, n)
	if workers <= 1 {
		for i := range n {
			if !yield(i, do("", i)) {
				return false
			}
		}
		return true
	}
	window = max(window, workers)
	slots := make([]chan T, min(window, n))
	for i := range slots {
		slots[i] = make(chan T, 1)
	}
	next := make(chan int, len(slots)) // at most one entry for each slot
	ended := make(chan struct{}, workers)
	for w := range workers {
		who := "filestore/read" + strconv.Itoa(w)
		start(who, func() {
			defer func() { ended <- struct{}{} }()
			for i := range next {
				slots[i%len(slots)] <- do(who, i)
			}
		})
	}
	defer func() { // also where yield panics: no goroutine outlives the call
		close(next)
		for range workers {
			<-ended
		}
	}()
	for i := range slots {
		next <- i
	}
	for i := range n {
		if !yield(i, <-slots[i%len(slots)]) {
			return false
		}
		if ahead := i + len(slots); ahead < n {
			next <- ahead
		}
	}
	return true
}
