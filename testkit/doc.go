// Package testkit proves network servers correct in virtual time. It is an in-memory network that behaves like
// TCP, with faults at every byte, bubbles in which time is exact, scripts for peers, a record that is the
// same from run to run, and laws that connections and listeners have to keep. It serves any server that
// takes a net.Listener or a net.Conn, and imports only the standard library.
//
// # Usage
//
// A test makes a listener, gives it to the server, and dials it, in a bubble:
//
//	func TestEcho(t *testing.T) {
//		testkit.Bubble(t, func(t *testing.T) {
//			ln := testkit.Listen(t)
//			go echo.Serve(ln)
//			c := ln.NewConn()
//			defer c.Close()
//			err := new(testkit.Script).Send("hello\n").Expect("hello\n").Run(c)
//			if err != nil {
//				t.Fatal(err)
//			}
//		})
//	}
//
// [Listener.DialContext] has the form that http.Transport.DialContext wants; for grpc.WithContextDialer wrap
// it in a function of two arguments, and to speak TLS give the result of [Listener.Dial] to tls.Client. Tests
// with several listeners take them from one [Network], which gives each an address of its own and dials by
// address.
//
// # Transports
//
// [Buffered] is memory that behaves like TCP, with a buffer size and a latency of choice. [Pipe] has no
// buffer: a Write waits for its reader, which finds code that relies on buffers. [Loopback] is real TCP, to
// show that a test does not pass only because of the fake. All three answer as TCP does: net.ErrClosed
// after Close, EPIPE after half-close, ECONNRESET after [Conn.Reset] or unread data, deadlines that go on
// working when the peer has closed. The addresses are from the ranges kept for documentation, 192.0.2.0/24 and
// 2001:db8::/32. Nothing is registered anywhere in the process, so parallel tests do not meet.
//
// # Faults
//
// Every [Conn] has two directions, and each can be given [Faults]: latency and jitter, a rate, small chunks, and
// after a number of bytes an error, a reset, an early end, a stall, a loss, or one wrong byte. Set them on the
// client's end, on its Peer, or with [Listener.NewConnConfig] before the server sees the connection. The
// times are exact in a bubble, so a test may compare them with ==.
//
// What a listener can meet is injected too: [Listener.InjectAcceptError] once and in order,
// [Listener.SetAcceptError] until further notice, [Listener.Abort] for good. [Listener.SetAcceptDelay] makes a
// connection come out of Accept late, for instance after the shutdown has begun: the window in which servers
// lose connections. An accept loop that spins is a failure, not a hang.
//
// # Time
//
// In a [Bubble], as in testing/synctest, time passes only when every goroutine waits for something in the bubble.
// A wait outside stops the clock: a mutex that somebody holds while waiting, a socket, a channel made before the
// bubble. So make listeners, connections and contexts inside, hold no mutex across I/O, and start subtests
// outside, each with its own bubble. A listener made outside that somebody waits for inside, and a connection
// in memory that is first used there, are failures that say so, and the other way round. The time virtual
// delays take is also how a race is tried in every order: events in one instant happen in any order, events at
// different times do not.
//
// Goroutines that the test leaves behind are an ordinary failure that shows their stacks.
//
// # Laws
//
// A package that has its own net.Conn or net.Listener gives a function that makes one to [TestConn] or
// [TestListener]. Each law is a subtest, explained when it is broken. The kernel's TCP keeps them all (see
// [LawOptions].Real), and so do this package's; laws known not to hold are declared, and an out-of-date
// declaration is a failure.
//
// # With rapid and other runners
//
// Functions take a [TB], which *testing.T and rapid's *T both are. Package testkit/prop has generators for
// transports, faults and payloads, and a model of a whole group of listeners.
package testkit
