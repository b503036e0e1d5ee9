package prop

import (
	"sync"
	"time"

	"github.com/listengroup/listengroup/lgrp"
)

// heard is what the events of World.Options have told. The zero value is ready.
type heard struct {
	mu        sync.Mutex
	broken    bool // the receivers panic, after they have taken note
	listeners map[uint64]heardListener
	opened    map[string]int // by the connection's ends
	closed    map[uint64]heardEnd
}

type heardListener struct {
	any     bool
	state   lgrp.ListenerState
	retries []time.Duration
}

type heardEnd struct {
	times int
	why   lgrp.Reason
	err   error
}

func (h *heard) listener(serial uint64) heardListener {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listeners[serial]
}

func (h *heard) openings(ends string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.opened[ends]
}

func (h *heard) end(id uint64) heardEnd {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed[id]
}

func (h *heard) breakDown() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = true
}

// note takes note, and is the broken receiver if it has been broken.
func (h *heard) note(f func()) {
	h.mu.Lock()
	if h.listeners == nil {
		h.listeners, h.opened, h.closed = map[uint64]heardListener{}, map[string]int{}, map[uint64]heardEnd{}
	}
	f()
	broken := h.broken
	h.mu.Unlock()
	if broken {
		panic("a bug in a receiver of events, put there by the model, which the group has not contained")
	}
}

// events has what next is told noted too.
func (h *heard) events(next *lgrp.Events) *lgrp.Events {
	return &lgrp.Events{
		ListenerState: func(info lgrp.ListenerInfo, from lgrp.ListenerState) {
			next.ListenerState(info, from)
			h.note(func() {
				l := h.listeners[info.Serial]
				l.any, l.state = true, info.State
				h.listeners[info.Serial] = l
			})
		},
		ConnOpened: func(info lgrp.ConnInfo) {
			next.ConnOpened(info)
			h.note(func() { h.opened[ends(info.Local, info.Remote)]++ })
		},
		ConnClosed: func(info lgrp.ConnInfo, why lgrp.Reason, err error) {
			next.ConnClosed(info, why, err)
			h.note(func() { h.closed[info.ID] = heardEnd{h.closed[info.ID].times + 1, why, err} })
		},
		AcceptError: func(info lgrp.ListenerInfo, err error, retryIn time.Duration) {
			next.AcceptError(info, err, retryIn)
			h.note(func() {
				l := h.listeners[info.Serial]
				l.any, l.retries = true, append(l.retries, retryIn)
				h.listeners[info.Serial] = l
			})
		},
	}
}
