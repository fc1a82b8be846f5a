package db

import "time"

// Option changes how a store works.
type Option func(*openOptions)

type openOptions struct {
	commits func(Commit)
}

// Commit is one attempt to write: all that came together waits for the disk once.
type Commit struct {
	Operations int           // callers that it answered
	Took       time.Duration // from the lock on the database to the disk, or to the failure
	Err        error         // ErrUnavailable: nothing was written
}

// ObserveCommits calls each for every commit that wrote, and for every one that failed. It is called by the goroutine that
// writes, so it must be quick.
func ObserveCommits(each func(Commit)) Option { return func(o *openOptions) { o.commits = each } }
