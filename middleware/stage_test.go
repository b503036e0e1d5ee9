package middleware_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/testkit"
)

// A stage is a group with one listener, for the tests of a middleware or
// handler. It is shut down, and its connections' ends checked to have come,
// when the test ends.
type stage struct {
	*lgrp.ListenGroup[struct{}, struct{}]
	ln *testkit.Listener

	mu   sync.Mutex
	ends []end
}

// An end is how a connection ended.
type end struct {
	info lgrp.ConnInfo
	why  lgrp.Reason
	err  error
}

// newStage serves connections of an in-memory listener with h behind mws.
func newStage(t testing.TB, h lgrp.Handler, mws ...lgrp.Middleware) *stage {
	s := &stage{ln: testkit.Listen(t)}
	s.start(t, h, lgrp.ListenerSpec[struct{}]{Listener: s.ln, Transport: mws})
	return s
}

// newTCPStage does the same at a port of the loopback interface.
func newTCPStage(t testing.TB, h lgrp.Handler, mws ...lgrp.Middleware) (*stage, string) {
	s := &stage{}
	s.start(t, h, lgrp.ListenerSpec[struct{}]{Addr: addr.MustParse("127.0.0.1:0"), Transport: mws})
	for l := range s.Listeners() {
		return s, l.Addr().String()
	}
	return nil, ""
}

func (s *stage) start(t testing.TB, h lgrp.Handler, spec lgrp.ListenerSpec[struct{}]) {
	s.ListenGroup = lgrp.New(lgrp.Typed[struct{}, struct{}](h), &lgrp.Options{
		Logger: slog.New(slog.DiscardHandler),
		Events: &lgrp.Events{ConnClosed: func(info lgrp.ConnInfo, why lgrp.Reason, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ends = append(s.ends, end{info, why, err})
		}},
	})
	_, err := s.Add(context.Background(), spec)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.Zero(t, s.Info().Active)
	})
}

// dial returns a client's end.
func (s *stage) dial() *testkit.Conn { return s.ln.NewConn() }

// awaitEnds returns how the first n connections ended.
func (s *stage) awaitEnds(t testing.TB, n int) []end {
	t.Helper()
	require.NoError(t, s.Wait(t.Context(), func(c lgrp.Counts) bool { return c.Ended >= uint64(n) }))
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]end(nil), s.ends...)
}

// echo is the handler of most tests.
func echo(_ context.Context, nc net.Conn, _ *lgrp.AnyConn) error {
	_, err := io.Copy(nc, nc)
	return err
}

// asked is echo that finishes when it is asked to.
func asked(_ context.Context, nc net.Conn, c *lgrp.AnyConn) error {
	defer c.OnDrain(func() { _ = nc.SetReadDeadline(time.Now()) })()
	_, err := io.Copy(nc, nc)
	if c.Info().Draining {
		return nil
	}
	return err
}

// An authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

var testCA = sync.OnceValue(func() *authority { return newAuthority("test CA") })

func newAuthority(name string) *authority {
	ca := &authority{key: newKey(), pool: x509.NewCertPool()}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der := ca.sign(template, template, ca.key)
	ca.cert, _ = x509.ParseCertificate(der)
	ca.pool.AddCert(ca.cert)
	return ca
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// sign makes a certificate that is valid in real time and in a bubble's, which
// begins in 2000.
func (ca *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	template.NotAfter = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, ca.key)
	if err != nil {
		panic(err)
	}
	return der
}

// issue returns a certificate for names, of which the first is the subject.
func (ca *authority) issue(names ...string) tls.Certificate {
	key := newKey()
	der := ca.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca.cert, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var localhostCert = sync.OnceValue(func() tls.Certificate { return testCA().issue("localhost") })

// serverTLS and clientTLS are configurations that go together.
func serverTLS(protos ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{localhostCert()}, NextProtos: protos}
}

func clientTLS(protos ...string) *tls.Config {
	return &tls.Config{RootCAs: testCA().pool, ServerName: "localhost", NextProtos: protos}
}

// inOwnProcess runs the test again in a process of its own, where goroutines start
// with 2 KiB of stack, and reports whether this is that.
func inOwnProcess(t *testing.T) bool {
	const setting = "adaptivestackstart=0"
	if strings.Contains(os.Getenv("GODEBUG"), setting) {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG="+setting)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	return false
}
