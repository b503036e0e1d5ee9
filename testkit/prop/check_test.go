package prop_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
	"github.com/listengroup/listengroup/testkit/prop"
)

type none = struct{}

func echo(_ context.Context, nc net.Conn, _ *lgrp.Conn[none, none]) error {
	_, err := io.Copy(nc, nc)
	return err
}

// echoes is a property: whatever is sent to an echo server comes back.
func echoes(w *prop.World) {
	g := lgrp.New(echo, w.Options())
	w.Cleanup(func() { _ = g.Close() })
	ln := w.Net.Listen(w, prop.Transports().Draw(w.T, "transport"))
	if _, err := g.Add(w.Context(), lgrp.ListenerSpec[none]{ID: "a", Listener: ln}); err != nil {
		w.Fatalf("add: %v", err)
	}
	payload := prop.Payloads(50).Draw(w.T, "payload")
	pieces := prop.Chunkings().Draw(w.T, "sent").Split(payload) // rapid draws on this goroutine only
	nc := ln.NewConn()
	go func() {
		for _, piece := range pieces {
			_, _ = nc.Write(piece)
		}
		_ = nc.CloseWrite()
	}()
	if got, err := io.ReadAll(nc); err != nil || string(got) != string(payload) {
		w.Errorf("sent %v, got %v, %v", payload, prop.Payload(got), err)
	}
}

func TestCheck(t *testing.T) { prop.Check(t, echoes) }
func FuzzEcho(f *testing.F)  { prop.Fuzz(f, echoes) }
func FuzzModel(f *testing.F) { prop.Model{}.Fuzz(f) }

// Generators shrink to the plainest value and print as one would write it.
func TestGeneratorsShrinkToThePlainest(t *testing.T) {
	plainest := func(draw func(t *rapid.T) any) (text string) {
		rapid.Check(rapidProbe{t}, func(rt *rapid.T) {
			text = fmt.Sprintf("%#v", draw(rt))
			rt.Fatalf("any value will do")
		})
		return text
	}
	for name, test := range map[string]struct {
		draw func(t *rapid.T) any
		want string
	}{
		"payload":   {func(t *rapid.T) any { return prop.Payloads(0).Draw(t, "") }, `""`},
		"chunking":  {func(t *rapid.T) any { return prop.Chunkings().Draw(t, "") }, "in one piece"},
		"transport": {func(t *rapid.T) any { return prop.Transports().Draw(t, "").String() }, `"Buffered(0, 0s)"`},
		"delay":     {func(t *rapid.T) any { return prop.Delays(0).Draw(t, "") }, "0"},
		"address":   {func(t *rapid.T) any { return prop.Addresses().Draw(t, "").String() }, `"192.0.2.1:1"`},
		"error":     {func(t *rapid.T) any { return prop.AcceptErrors().Draw(t, "").Error() }, `"software caused connection abort"`},
		"policy":    {func(t *rapid.T) any { return prop.LimitPolicies().Draw(t, "").String() }, `"Backlog()"`},
		"faults":    {func(t *rapid.T) any { return prop.Faults(0).Draw(t, "") == testkit.Faults{} }, "true"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, plainest(test.draw)) })
	}
}

// What rapid shows of a drawn value is its GoString.
func TestGeneratorsPrintReadably(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		for _, drawn := range []any{
			prop.Transports().Draw(rt, ""), prop.Faults(0).Draw(rt, ""), prop.Addresses().Draw(rt, ""), prop.LimitPolicies().Draw(rt, ""),
		} {
			if text := fmt.Sprintf("%#v", drawn); strings.Contains(text, "0x") { // or it shows what is inside
				rt.Fatalf("%s", text)
			}
		}
	})
}

// rapidProbe takes failures that are wanted.
type rapidProbe struct{ *testing.T }

func (rapidProbe) Name() string          { return string(make([]byte, 300)) }
func (rapidProbe) Errorf(string, ...any) {}
func (rapidProbe) Logf(string, ...any)   {}
func (rapidProbe) Failed() bool          { return false }
