package filestore

import "strconv"

// ordered calls do(i) for 0 ≤ i < n with at most workers calls at a time and
// yields the results in the order of i, reading ahead by about window. It
// returns false where yield did, after every call has ended.
//
// start runs a function on a goroutine of that name; with one worker, or one
// thing to do, everything runs on the caller's. do learns the name of the
// goroutine it runs on, "" for the caller's. Goroutines are handed up to chunk
// calls at once, for handing over costs about as much as opening a file.
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
	chunk := max(1, min(maxChunk, n/workers, window/workers))
	chunks := (n + chunk - 1) / chunk
	slots := make([]chan []T, min(chunks, workers+max(workers, window/chunk)))
	for i := range slots {
		slots[i] = make(chan []T, 1)
	}
	next := make(chan int, len(slots)) // at most one entry for each slot
	ended := make(chan struct{}, workers)
	for w := range workers {
		who := "filestore/read" + strconv.Itoa(w)
		start(who, func() {
			defer func() { ended <- struct{}{} }()
			for c := range next {
				var results []T
				for i := c * chunk; i < min(n, (c+1)*chunk); i++ {
					results = append(results, do(who, i))
				}
				slots[c%len(slots)] <- results
			}
		})
	}
	defer func() { // also where yield panics: no goroutine outlives the call
		close(next)
		for range workers {
			<-ended
		}
	}()
	for c := range slots {
		next <- c
	}
	for c := range chunks {
		for j, v := range <-slots[c%len(slots)] {
			if !yield(c*chunk+j, v) {
				return false
			}
		}
		if ahead := c + len(slots); ahead < chunks {
			next <- ahead
		}
	}
	return true
}

// maxChunk bounds what one goroutine is handed at a time.
const maxChunk = 32
