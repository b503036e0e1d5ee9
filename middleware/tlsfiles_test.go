package middleware_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/testkit"
)

// writeCert writes a certificate for name, as a renewing program would.
func writeCert(dir, name string) (certFile, keyFile string, err error) {
	cert := testCA().issue(name)
	der, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "EC PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return "", "", err
		}
	}
	return certFile, keyFile, nil
}

func ExampleNewCertFiles() {
	dir, err := os.MkdirTemp("", "certs")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	certFile, keyFile, err := writeCert(dir, "one.test")
	if err != nil {
		fmt.Println(err)
		return
	}
	certs, err := middleware.NewCertFiles(certFile, keyFile, &middleware.CertFilesOptions{
		CheckEvery: time.Minute,
		OnReload:   func(err error) { fmt.Println("loaded", err) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = middleware.TLS(&tls.Config{GetCertificate: certs.GetCertificate})

	if _, _, err := writeCert(dir, "two.test"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(certs.Reload()) // on SIGHUP, say; else a handshake notices within a minute
	// Output:
	// loaded <nil>
	// loaded <nil>
	// <nil>
}

func TestCertFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, at time.Time) (string, string) {
		certFile, keyFile, err := writeCert(dir, name)
		require.NoError(t, err)
		require.NoError(t, os.Chtimes(certFile, at, at))
		require.NoError(t, os.Chtimes(keyFile, at, at))
		return certFile, keyFile
	}
	testkit.Bubble(t, func(t *testing.T) {
		certFile, keyFile := write("one.test", time.Now())
		var reloads []bool
		certs, err := middleware.NewCertFiles(certFile, keyFile, &middleware.CertFilesOptions{
			OnReload: func(err error) { reloads = append(reloads, err == nil) },
		})
		require.NoError(t, err)
		name := func() string {
			cert, err := certs.GetCertificate(nil)
			require.NoError(t, err)
			leaf, err := x509.ParseCertificate(cert.Certificate[0])
			require.NoError(t, err)
			return leaf.Subject.CommonName
		}
		require.Equal(t, "one.test", name())

		write("two.test", time.Now().Add(time.Hour))
		time.Sleep(10*time.Second - 1)
		require.Equal(t, "one.test", name(), "looked before its time")
		time.Sleep(1 * time.Nanosecond)
		require.Equal(t, "two.test", name())
		time.Sleep(time.Minute)
		require.Equal(t, "two.test", name())
		require.Equal(t, []bool{true, true}, reloads, "loads what has not changed")

		require.NoError(t, os.WriteFile(keyFile, []byte("half"), 0o600))
		time.Sleep(10 * time.Second)
		require.Equal(t, "two.test", name())
		require.ErrorContains(t, certs.Reload(), "middleware: load certificate: ")
		require.NoError(t, os.Remove(certFile))
		time.Sleep(10 * time.Second)
		require.Equal(t, "two.test", name())

		write("three.test", time.Now().Add(2*time.Hour))
		require.Equal(t, "two.test", name())
		time.Sleep(10 * time.Second)
		require.Equal(t, "three.test", name())
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = certs.GetCertificate(nil) }))
	})
}

// A clock that is coarse, or a copy that keeps times, makes files that differ in
// nothing but what they hold.
func TestCertFilesNoticesFilesThatLookTheSame(t *testing.T) {
	dir := t.TempDir()
	testkit.Bubble(t, func(t *testing.T) {
		write := func(name string) (certFile, keyFile string) {
			certFile, keyFile, err := writeCert(dir, name)
			require.NoError(t, err)
			for _, file := range []string{certFile, keyFile} {
				f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
				require.NoError(t, err)
				fi, err := f.Stat()
				require.NoError(t, err)
				_, err = f.Write(bytes.Repeat([]byte("\n"), 4096-int(fi.Size())))
				require.NoError(t, err)
				require.NoError(t, f.Close())
				require.NoError(t, os.Chtimes(file, time.Time{}, time.Unix(1e9, 0)))
			}
			return certFile, keyFile
		}
		certFile, keyFile := write("one.test")
		certs, err := middleware.NewCertFiles(certFile, keyFile, nil)
		require.NoError(t, err)
		write("two.test")
		time.Sleep(10 * time.Second)
		cert, err := certs.GetCertificate(nil)
		require.NoError(t, err)
		require.Equal(t, "two.test", cert.Leaf.Subject.CommonName)
	})
}

// OnReload may try again at once.
func TestCertFilesReloadedByOnReload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, err := writeCert(dir, "one.test")
	require.NoError(t, err)
	var certs *middleware.CertFiles
	told := 0
	certs, err = middleware.NewCertFiles(certFile, keyFile, &middleware.CertFilesOptions{OnReload: func(err error) {
		told++
		if err != nil && told < 3 {
			_, _, _ = writeCert(dir, "two.test")
			_ = certs.Reload()
		}
	}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(keyFile, nil, 0o600))
	require.Error(t, certs.Reload())
	require.Equal(t, 3, told)
	cert, err := certs.GetCertificate(nil)
	require.NoError(t, err)
	require.Equal(t, "two.test", cert.Leaf.Subject.CommonName)
}

func TestCertFilesThatAreNotThere(t *testing.T) {
	_, err := middleware.NewCertFiles(filepath.Join(t.TempDir(), "none"), "none", nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Connections outlive the certificate that they began with.
func TestCertFilesKeepConnections(t *testing.T) {
	certFile, keyFile, err := writeCert(t.TempDir(), "localhost")
	require.NoError(t, err)
	certs, err := middleware.NewCertFiles(certFile, keyFile, &middleware.CertFilesOptions{CheckEvery: -1})
	require.NoError(t, err)
	s, address := newTCPStage(t, echo, middleware.TLS(&tls.Config{GetCertificate: certs.GetCertificate}))
	dial := func() (*tls.Conn, string) {
		nc, err := tls.Dial("tcp", address, clientTLS())
		require.NoError(t, err)
		return nc, nc.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	a, before := dial()
	defer a.Close()
	_, _, err = writeCert(filepath.Dir(certFile), "localhost")
	require.NoError(t, err)
	require.NoError(t, certs.Reload())
	b, after := dial()
	defer b.Close()
	require.NotEqual(t, before, after)
	_, err = a.Write([]byte("x"))
	require.NoError(t, err)
	_, err = a.Read(make([]byte, 1))
	require.NoError(t, err)
	require.Equal(t, 2, s.Info().Active)
}
