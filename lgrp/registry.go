package lgrp

import (
	"iter"
	"runtime"
	"sync"
)

// registry holds the live connections, parked ones too. It is cut into shards
// by id, so that consecutive connections use different locks, and each shard
// is a small open-addressed table of pointers: adding and removing touch one
// cache line or two, looking up by id needs no map, and copying 100,000
// entries out is a walk over flat memory.
//
// The zero value is empty and ready.
type registry struct {
	shards [numShards]shard
}

const (
	numShards = 64 // a power of two
	minTable  = 8  // likewise

	// yieldAfter is how many pointers are copied in the time that somebody
	// would wait for a mutex without going to sleep.
	yieldAfter = 512
)

type shard struct {
	mu  sync.Mutex
	n   int
	tab []*AnyConn // nil where free; length 0 or a power of two, at most half full
	_   [24]byte   // its own cache line
}

func (r *registry) shard(id uint64) *shard { return &r.shards[id%numShards] }

func (r *registry) add(c *AnyConn) {
	s := r.shard(c.id)
	s.mu.Lock()
	if 2*(s.n+1) > len(s.tab) {
		s.resize(max(2*len(s.tab), minTable))
	}
	s.put(c)
	s.n++
	s.mu.Unlock()
}

func (r *registry) remove(c *AnyConn) {
	s := r.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tab) == 0 {
		return
	}
	mask := len(s.tab) - 1
	i := s.home(c.id)
	for s.tab[i] != c {
		if s.tab[i] == nil {
			return
		}
		i = (i + 1) & mask
	}
	// Close the gap: whatever follows without a hole, and would be found at or
	// before the gap, moves into it.
	for j := (i + 1) & mask; s.tab[j] != nil; j = (j + 1) & mask {
		if h := s.home(s.tab[j].id); (j-h)&mask >= (j-i)&mask {
			s.tab[i] = s.tab[j]
			i = j
		}
	}
	s.tab[i] = nil
	s.n--
	if len(s.tab) > minTable && 8*s.n < len(s.tab) {
		s.resize(len(s.tab) / 2)
	}
}

func (r *registry) get(id uint64) *AnyConn {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tab) == 0 {
		return nil
	}
	mask := len(s.tab) - 1
	for i := s.home(id); s.tab[i] != nil; i = (i + 1) & mask {
		if s.tab[i].id == id {
			return s.tab[i]
		}
	}
	return nil
}

// all yields every connection that is there from before the call until after
// it, and some of the others. A shard's pointers are copied out under its
// lock and yielded without, so the loop's body may block or call the group.
func (r *registry) all() iter.Seq[*AnyConn] {
	return func(yield func(*AnyConn) bool) {
		var buf []*AnyConn
		for i := range r.shards {
			s := &r.shards[i]
			s.mu.Lock()
			for _, c := range s.tab {
				if c != nil {
					buf = append(buf, c)
				}
			}
			s.mu.Unlock()
			if len(buf) >= yieldAfter {
				runtime.Gosched() // who waited for the shard goes first
			}
			for _, c := range buf {
				if !yield(c) {
					return
				}
			}
			clear(buf)
			buf = buf[:0]
		}
	}
}

// home is where id is looked for first. Multiplying spreads the ids of
// long-lived connections, which are consecutive, over the table.
func (s *shard) home(id uint64) int {
	return int((id/numShards*0x9E3779B97F4A7C15)>>33) & (len(s.tab) - 1)
}

func (s *shard) put(c *AnyConn) {
	mask := len(s.tab) - 1
	i := s.home(c.id)
	for s.tab[i] != nil {
		i = (i + 1) & mask
	}
	s.tab[i] = c
}

func (s *shard) resize(size int) {
	old := s.tab
	s.tab = make([]*AnyConn, size)
	for _, c := range old {
		if c != nil {
			s.put(c)
		}
	}
}
