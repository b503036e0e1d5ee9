package lgrp

import "sync/atomic"

// An IDSource gives out connection ids: 1, 2, 3 and so on, none of them twice.
// Groups that share one, through [Options.IDs], never use the same id. The
// zero value is ready, and all methods may be called by many goroutines at
// once. It must not be copied.
type IDSource struct {
	last atomic.Uint64
}

// Next returns the next id. Ids come from the same sequence as those of
// connections, so applications may draw from it for things of their own.
func (s *IDSource) Next() uint64 { return s.last.Add(1) }
