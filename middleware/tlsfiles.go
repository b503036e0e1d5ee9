package middleware

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"time"
)

// CertFilesOptions are the settings of [NewCertFiles]. A nil
// *CertFilesOptions means all defaults.
type CertFilesOptions struct {
	// CheckEvery is the least time between two looks at the files. Negative
	// means never to look again but on Reload. Defaults to 10 seconds.
	CheckEvery time.Duration

	// OnReload is told of each new certificate, with nil, and of each failure
	// to load one, with the error. It is called on the goroutine of the
	// handshake, or of Reload, that loaded it. Defaults to nil.
	OnReload func(error)
}

// CertFiles is a certificate in files that somebody renews from time to time.
// Connections that are open keep theirs; handshakes get the new one:
//
//	certs, err := middleware.NewCertFiles("cert.pem", "key.pem", nil)
//	…
//	cfg := &tls.Config{GetCertificate: certs.GetCertificate}
//
// A handshake looks whether the files have changed, at most every CheckEvery;
// there is no goroutine that does. Files that cannot be loaded, such as one
// that is half written, leave the certificate as it was, and are tried again at
// the next look. All methods may be called by many goroutines at once.
type CertFiles struct {
	certFile, keyFile string
	opts              CertFilesOptions

	loading sync.Mutex // one at a time

	mu      sync.Mutex       // not held while files are read
	cert    *tls.Certificate // written with both held
	checked time.Time
}

// NewCertFiles loads a certificate chain and its key from PEM files. opts may
// be nil.
func NewCertFiles(certFile, keyFile string, opts *CertFilesOptions) (*CertFiles, error) {
	f := &CertFiles{certFile: certFile, keyFile: keyFile}
	if opts != nil {
		f.opts = *opts
	}
	if f.opts.CheckEvery == 0 {
		f.opts.CheckEvery = 10 * time.Second
	}
	if err := f.load(false); err != nil {
		return nil, err
	}
	return f, nil
}

// GetCertificate is for the field of [tls.Config] of that name. Its error is
// always nil.
func (f *CertFiles) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	cert := f.cert
	due := f.opts.CheckEvery > 0 && time.Since(f.checked) >= f.opts.CheckEvery
	if due {
		f.checked = time.Now() // others need not look meanwhile
	}
	f.mu.Unlock()
	if !due || f.load(true) != nil {
		return cert, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cert, nil
}

// Reload loads the files now, whether or not they have changed. After an error
// the certificate is what it was.
func (f *CertFiles) Reload() error { return f.load(false) }

// load loads the files. With ifChanged it does not take for new what they held
// before; their times and sizes would not tell.
func (f *CertFiles) load(ifChanged bool) error {
	changed, err := f.renew(ifChanged)
	if err != nil {
		err = fmt.Errorf("middleware: load certificate: %w", err)
	}
	if f.opts.OnReload != nil && (changed || err != nil) {
		f.opts.OnReload(err)
	}
	return err
}

func (f *CertFiles) renew(ifChanged bool) (changed bool, err error) {
	f.loading.Lock()
	defer f.loading.Unlock()
	cert, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
	if err != nil || ifChanged && slices.EqualFunc(cert.Certificate, f.cert.Certificate, bytes.Equal) {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cert, f.checked = &cert, time.Now()
	return true, nil
}
