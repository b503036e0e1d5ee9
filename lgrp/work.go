package lgrp

import "slices"

// work is what was decided with mu held, and is done when it no longer is. Nil
// is nothing, which it mostly is.
type work struct {
	start  []*AnyConn // these got slots
	reject []*AnyConn // these are told that there is no room
	evict  []*AnyConn // these are closed to make room
}

// orNew returns w, or a new one where there is none yet.
func (w *work) orNew() *work {
	if w == nil {
		return new(work)
	}
	return w
}

// popStart takes out the first of those that got slots.
func (w *work) popStart() *AnyConn {
	if w == nil || len(w.start) == 0 {
		return nil
	}
	c := w.start[0]
	w.start = w.start[1:]
	return c
}

// live returns the connections that have a goroutine, or are to get one.
func (w *work) live() []*AnyConn {
	if w == nil {
		return nil
	}
	return slices.Concat(w.start, w.evict)
}

// do does it. Closing an idle connection may block, which the caller may not
// be in a position to.
func (g *core) do(w *work) {
	if w == nil {
		return
	}
	for _, c := range w.start {
		g.start(c)
	}
	for _, c := range w.reject {
		g.reject(c)
	}
	for _, c := range w.evict {
		g.task(func() { c.end(ReasonEvicted, ErrEvicted) })
	}
}
