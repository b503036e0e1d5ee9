// Package prop tests network servers with random cases that shrink: middleware and handlers against laws, a whole
// group of listeners against a model, and anything else in a world of its own. It is the part of testkit that
// imports a property-testing library, pgregory.net/rapid.
//
// # Laws of middleware and handlers
//
// TestMiddleware tries on a middleware what every chain relies on, each law in a subtest: that it calls next at
// most once, returns its error, lets bytes and half-close and deadlines through, ends when the peer or the
// group ends the connection, keeps nothing, and so on.
//
//	func TestLimit(t *testing.T) {
//		prop.TestMiddleware(t, middleware.Limit(8), prop.MiddlewareSpec{})
//	}
//
// Where a middleware breaks a law on purpose, that is declared with its reason:
//
//	prop.MiddlewareSpec{Deviations: map[prop.Law]string{
//		prop.LawInterfaces: "TLS cannot splice",
//	}}
//
// A declared deviation that is not there is a failure too, so the list says what the middleware does. The spec also
// says how a client behaves (a TLS handshake, a PROXY header) and how to make the middleware anew for each case.
//
// TestConnHandler does the same for a handler. Its central law is that chunking does not matter: whatever a client
// sends, the answers are the same however the bytes are cut into pieces.
//
// # A model of the group
//
// Model does random things to a group of listeners, one after the other, and after each compares what clients,
// sockets, handlers, events and the group itself say. A failure is shown as the shortest list of steps:
//
//	what was done:
//	   1. add a, limit 1, backlog
//	   2. dial a (1)
//	   3. dial a (2)
//	   4. limit a to 0
//	connection 2 of a waits for a slot, and there is one
//
// The numbers in brackets are those of the clients. To test a group as a program makes it, with its options and
// its middleware, say how it is made:
//
//	prop.Model{New: func(w *prop.World, h lgrp.Handler) prop.System {
//		g := lgrp.New(lgrp.Typed[Port, Session](h), w.Options())
//		g.Use(audit)
//		return prop.Adapt(g)
//	}}.Check(t)
//
// Actions and Invariants add to what is done and checked. A server that is no group takes part through the five
// methods of System. The model moves one step at a time and waits until nothing moves any more; the windows in which
// things happen at once are opened by time: an Accept that is slow, drains that go on, handlers that hang.
//
// Package lgrp is tested with it in the same way, and with faults planted in its sources: FAULTS.md has the table of
// what was planted and how it was found.
//
// # Worlds
//
// Check and Fuzz try a property on random cases, each in a World: a bubble with virtual time, a network, a recorder of
// events that is checked at the end. Values are drawn with generators, which shrink to the plainest case and print
// readably:
//
//	prop.Check(t, func(w *prop.World) {
//		ln := w.Net.Listen(w, prop.Transports().Draw(w.T, "transport"))
//		…
//		prop.Steps(w, nil, prop.Step{Name: "dial", Do: …}, …)
//	})
//
// Use rapid's own generators for the rest. What ends a case must be registered with World.Cleanup, which runs in the
// bubble, also when the case failed half-way.
//
// # Running
//
// The variables of rapid say how long to try: RAPID_CHECKS is the number of cases, RAPID_STEPS that of steps in
// each, RAPID_SEED where to begin, RAPID_SHRINKTIME how long to shrink at most. Variables are better than flags,
// which packages without rapid do not know. Shrinking needs a -timeout of more than ten seconds.
//
// A panic on a goroutine of the system ends the process before anything can be shown or shrunk. PROP_STORY names a
// file in which a Model keeps what it has done so far.
//
// In fuzzing only the fuzzer decides how long to try:
//
//	func FuzzGroup(f *testing.F) { prop.Model{}.Fuzz(f) }
package prop
