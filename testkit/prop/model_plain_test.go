package prop_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit/prop"
)

// plain is a server as one writes it by hand, that keeps every promise: a System that is no group.
type plain struct {
	handle lgrp.Handler
	fickle bool // ends an accept loop at the first error

	mu     sync.Mutex
	lns    map[string]net.Listener
	conns  map[net.Conn]string
	served int
	done   bool
	wg     sync.WaitGroup
}

func newPlain(h lgrp.Handler) *plain {
	return &plain{handle: h, lns: map[string]net.Listener{}, conns: map[net.Conn]string{}}
}

func (p *plain) Add(_ context.Context, spec prop.ListenerSpec) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done || p.lns[spec.ID] != nil {
		_ = spec.Listener.Close()
		return lgrp.ErrDuplicateID
	}
	p.lns[spec.ID] = spec.Listener
	p.wg.Go(func() { p.serve(spec.ID, spec.Listener) })
	return nil
}

func (p *plain) serve(id string, ln net.Listener) {
	for delay := time.Duration(0); ; {
		nc, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) || err != nil && p.fickle {
			return
		} else if err != nil {
			delay = min(time.Second, max(5*time.Millisecond, 2*delay))
			time.Sleep(delay)
			continue
		}
		delay = 0
		p.mu.Lock()
		if p.lns[id] != ln {
			p.mu.Unlock()
			_ = nc.Close()
			continue
		}
		p.conns[nc] = id
		p.served++
		p.wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer func() {
				_ = recover()
				cancel()
				_ = nc.Close()
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.conns, nc)
			}()
			_ = p.handle(ctx, nc, new(lgrp.AnyConn))
		})
		p.mu.Unlock()
	}
}

func (p *plain) Remove(id string, mode lgrp.RemoveMode) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ln := p.lns[id]
	if ln == nil { // it was shut down
		return errors.New("there is no such listener")
	}
	delete(p.lns, id)
	_ = ln.Close()
	for nc, of := range p.conns {
		if of == id && mode == lgrp.KillConns {
			_ = nc.Close()
		}
	}
	return nil
}

func (p *plain) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.done = true
	for id, ln := range p.lns {
		delete(p.lns, id)
		_ = ln.Close()
	}
	p.mu.Unlock()
	gone := make(chan struct{})
	go func() { p.wg.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for nc := range p.conns {
		_ = nc.Close()
	}
	return ctx.Err()
}

func (p *plain) SetMaxConns(string, int) error { return errors.ErrUnsupported }
func (p *plain) Counts() (lgrp.Counts, bool)   { return lgrp.Counts{}, false }

// A server that is no group gets as much to do as one that is, and none of it is held against it.
func TestModelOfAPlainServer(t *testing.T) {
	var all []*plain
	for range 5 { // a short run tries few cases
		prop.Model{New: func(_ *prop.World, h lgrp.Handler) prop.System {
			all = append(all, newPlain(h))
			return all[len(all)-1]
		}}.Check(t)
	}
	served := 0
	for _, p := range all {
		served += p.served
	}
	require.Greater(t, served, 3*len(all)/2, "connections that %d servers served", len(all))
}

// What is wrong with it is found without taking anything off the model.
func TestModelFindsAFickleServer(t *testing.T) {
	defer unshrunk()()
	tries, most := 0, 5
	if testing.Short() { // a tenth of the steps
		most *= 10
	}
	for f := (*prop.Failure)(nil); f == nil; tries++ {
		f = prop.Model{New: func(_ *prop.World, h lgrp.Handler) prop.System {
			p := newPlain(h)
			p.fickle = true
			return p
		}}.Find(t)
	}
	require.LessOrEqual(t, tries, most, "runs until it was found")
}
