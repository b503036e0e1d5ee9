package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

// HAProxy in front tells who its client is.
func TestHAProxyInFront(t *testing.T) {
	haproxy := tool(t, "haproxy", "haproxy")
	for name, tc := range map[string]struct {
		server  string // its options
		version int
	}{
		"v1": {"send-proxy", 1},
		"v2": {"send-proxy-v2 proxy-v2-options unique-id,crc32c", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, backend := newTCPStage(t, func(ctx context.Context, nc net.Conn, c *lgrp.AnyConn) error {
				h, _ := middleware.ProxyHeaderFrom(ctx)
				id, _ := h.TLV(0x05)
				_, crc := h.TLV(0x03)
				line, err := bufio.NewReader(nc).ReadString('\n')
				if err == nil {
					_, err = fmt.Fprintf(nc, "%s|%v|%v|%d|%s|%t", strings.TrimSpace(line), nc.RemoteAddr(), c.RemoteAddr(), h.Version, id, crc)
				}
				return err
			}, middleware.ProxyProtocol(nil))
			// HAProxy gets a socket that listens already: nobody else can take the
			// port, and clients need not wait until it has started.
			front, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer front.Close()
			inherited, err := front.(*net.TCPListener).File()
			require.NoError(t, err)
			config := fmt.Sprintf(`
defaults
	mode tcp
	timeout connect 5s
	timeout client 5s
	timeout server 5s
frontend f
	bind fd@3
	unique-id-format id-of-test
	default_backend b
backend b
	server s %s %s
`, backend, tc.server)
			file := filepath.Join(t.TempDir(), "haproxy.cfg")
			require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
			var log bytes.Buffer
			cmd := exec.Command(haproxy, "-db", "-f", file)
			cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &log, &log, []*os.File{inherited}
			require.NoError(t, cmd.Start())
			require.NoError(t, front.Close()) // should HAProxy end, nobody listens any more
			require.NoError(t, inherited.Close())
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				if t.Failed() {
					t.Logf("%s", log.Bytes())
				}
			}()
			nc, err := net.Dial("tcp", front.Addr().String())
			require.NoError(t, err)
			defer nc.Close()
			_, err = io.WriteString(nc, "hello\n")
			require.NoError(t, err)
			reply, err := io.ReadAll(nc)
			require.NoError(t, err)
			me := nc.LocalAddr().String()
			want := fmt.Sprintf("hello|%s|%s|1||false", me, me)
			if tc.version == 2 {
				want = fmt.Sprintf("hello|%s|%s|2|id-of-test|true", me, me)
			}
			require.Equal(t, want, string(reply))
		})
	}
}

// onePort serves HTTPS, HTTP and SSH's banner on one port, as its clients want.
func onePort(t *testing.T) (s *stage, address, caFile string) {
	web := middleware.HTTP(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := lgrp.AnyFromContext(r.Context())
		fmt.Fprintf(w, "%s %q %q", r.Proto, c.Info().ServerName, c.Info().Protocol)
	})})
	s, address = newTCPStage(t, echo, middleware.Sniff([]middleware.SniffRoute{
		{Match: middleware.MatchTLS(), Handler: middleware.Chain(middleware.TLS(serverTLS("h2", "http/1.1")))(web)},
		{Match: middleware.MatchHTTP1(), Handler: web},
		{Match: middleware.MatchSSH(), Handler: func(_ context.Context, nc net.Conn, c *lgrp.AnyConn) error {
			line, err := bufio.NewReader(nc).ReadString('\n')
			if err != nil {
				return err
			}
			c.SetNote(strings.TrimSpace(line))
			_, err = io.WriteString(nc, "SSH-2.0-listengroup\r\n")
			if err == nil {
				_, err = io.Copy(io.Discard, nc)
			}
			return err
		}},
	}, nil))
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: testCA().cert.Raw})
	require.NoError(t, os.WriteFile(caFile, ca, 0o600))
	return s, address, caFile
}

func TestCurlOnOnePort(t *testing.T) {
	curl := tool(t, "curl", "curl")
	s, address, ca := onePort(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"h2":       {[]string{"--http2", "https://localhost:" + port}, `HTTP/2.0 "localhost" "h2"`},
		"https":    {[]string{"--http1.1", "https://localhost:" + port}, `HTTP/1.1 "localhost" "http/1.1"`},
		"http":     {[]string{"http://localhost:" + port}, `HTTP/1.1 "" ""`},
		"h2 again": {[]string{"--http2", "https://localhost:" + port, "https://localhost:" + port}, `HTTP/2.0 "localhost" "h2"HTTP/2.0 "localhost" "h2"`},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(curl, append([]string{"-q", "-sS", "--max-time", "60", "--noproxy", "*", "--cacert", ca, "--resolve", "localhost:" + port + ":127.0.0.1"}, tc.args...)...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Equal(t, tc.want, string(out))
		})
	}
	for _, e := range s.awaitEnds(t, 4) {
		require.Equal(t, lgrp.ReasonReturned, e.why, "%v", e.err)
	}
}

func TestOpenSSLOnOnePort(t *testing.T) {
	openssl := tool(t, "openssl", "openssl")
	_, address, ca := onePort(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(version, func(t *testing.T) {
			cmd := exec.Command(openssl, "s_client", "-connect", address, "-servername", "localhost", "-alpn", "http/1.1",
				"-CAfile", ca, "-verify_return_error", "-ign_eof", version)
			cmd.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "Verify return code: 0 (ok)")
			require.Contains(t, string(out), `HTTP/1.1 "localhost" "http/1.1"`)
			require.NotContains(t, string(out), "unexpected eof") // there was a close_notify
		})
	}
}

func TestSSHOnOnePort(t *testing.T) {
	ssh := tool(t, "ssh", "openssh-client")
	s, address, _ := onePort(t)
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, ssh, "-v", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60", "-p", port, "nobody@"+host)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	seen, said := false, ""
	for lines := bufio.NewScanner(stderr); lines.Scan() && !seen; {
		seen = strings.Contains(lines.Text(), "remote software version listengroup")
		said += lines.Text() + "\n"
	}
	if strings.Contains(said, "No user exists for uid") {
		t.Skip("SKIPPED: ssh does not serve users without a name")
	}
	require.True(t, seen, said)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	e := s.awaitEnds(t, 1)[0]
	require.True(t, strings.HasPrefix(e.info.Note, "SSH-2.0-OpenSSH"), e.info.Note)
}
