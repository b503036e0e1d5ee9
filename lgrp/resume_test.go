package lgrp_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// One Resume at a time binds. Who does not wait for the other is told what it was about, and why.
func TestResumeThatIsNotWaitedForSaysWhich(t *testing.T) {
	g := newGroup(t, echo, nil)
	warming, goOn := make(chan struct{}), make(chan struct{})
	first := true
	l, err := g.Add(t.Context(), spec{ID: "a", Addr: addr.MustParse("127.0.0.1:0"), OnBound: func(context.Context, lgrp.ListenerInfo) error {
		if !first {
			close(warming)
			<-goOn
		}
		first = false
		return nil
	}})
	require.NoError(t, err)
	require.NoError(t, l.Release())
	resumed := make(chan error, 1)
	go func() { resumed <- l.Resume(context.Background()) }()
	<-warming
	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := errors.New("impatient")
	cancel(impatient)
	err = l.Resume(ctx)
	require.ErrorIs(t, err, impatient)
	require.ErrorContains(t, err, "resume listener a")
	close(goOn)
	require.NoError(t, <-resumed)
	requireState(t, l, lgrp.StateAccepting)
}

func TestOnBoundThatPanicsNamesTheAddressOfAnAdoptedListener(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		ln := testkit.Listen(t)
		_, err := newGroup(t, hold, nil).Add(t.Context(), spec{Listener: ln, OnBound: func(context.Context, lgrp.ListenerInfo) error { panic("oops") }})
		var be *lgrp.BindError
		require.ErrorAs(t, err, &be)
		require.Equal(t, ln.Addr().String(), be.Addr.String())
	})
}
