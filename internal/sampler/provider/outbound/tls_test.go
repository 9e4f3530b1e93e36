package outbound_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/outbound"
)

// authority signs its own certificate, with which it serves too.
type authority struct {
	pem  string
	pair tls.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return authority{
		pem:  string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}
}

func (a authority) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about clients that don't trust it
	server.TLS = &tls.Config{Certificates: []tls.Certificate{a.pair}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// wantFailure checks what an adapter makes of the client's error.
func wantFailure(t *testing.T, err error, detail string) {
	t.Helper()
	var got *provider.Error
	if !errors.As(err, &got) {
		got = provider.FromTransport(t.Context(), err)
	}
	if err == nil || got.Kind != provider.KindUnreachable || !strings.Contains(got.Detail, detail) {
		t.Errorf("error %v, detail %q, want one that says %q", err, got.Detail, detail)
	}
}

func TestOnlyTheNamedCertificatesAreGood(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	url := theirs.serve(t)

	_, err := get(t, newClient(t, outbound.Options{}), url)
	wantFailure(t, err, "its TLS certificate is not trusted")

	path := filepath.Join(t.TempDir(), "ca.crt")
	write(t, path, ours.pem)
	_, err = get(t, newClient(t, outbound.Options{CAFile: path}), url)
	wantFailure(t, err, "its TLS certificate is not trusted")

	write(t, path, ours.pem+theirs.pem)
	if body, err := get(t, newClient(t, outbound.Options{CAFile: path}), url); err != nil || body != "hello" {
		t.Errorf("answer %q, error %v", body, err)
	}
}

func TestTheCertificatesAreThoseOfTheMoment(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	oldURL, newURL := before.serve(t), after.serve(t)
	path := filepath.Join(t.TempDir(), "ca.crt")
	client := newClient(t, outbound.Options{CAFile: path})

	_, err := get(t, client, oldURL)
	wantFailure(t, err, "the file of its CA bundle cannot be read")
	write(t, path, "no certificate")
	_, err = get(t, client, oldURL)
	wantFailure(t, err, "holds no certificate")

	write(t, path, before.pem)
	for _, wantReused := range []bool{false, true} {
		if reused, err := ask(t, client, oldURL); err != nil || reused != wantReused {
			t.Errorf("with its certificate: error %v, connection reused: %v, want %v", err, reused, wantReused)
		}
	}
	write(t, path, "a slip")
	if reused, err := ask(t, client, oldURL); err != nil || !reused {
		t.Errorf("a bundle that cannot be read ended what was good: error %v, connection reused: %v", err, reused)
	}
	write(t, path, before.pem+after.pem)
	if reused, err := ask(t, client, oldURL); err != nil || reused {
		t.Errorf("with another bundle: error %v, connection reused: %v, want a new one", err, reused)
	}
	write(t, path, after.pem)
	if _, err := ask(t, client, newURL); err != nil {
		t.Error(err)
	}
	_, err = ask(t, client, oldURL)
	wantFailure(t, err, "its TLS certificate is not trusted")
}

func TestWhatIsUnderWayOutlivesItsCertificates(t *testing.T) {
	ca := newAuthority(t)
	release := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		<-release
		io.WriteString(w, "late")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.pair}}
	server.StartTLS()
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.crt")
	write(t, path, ca.pem)
	client := newClient(t, outbound.Options{CAFile: path})

	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	write(t, path, newAuthority(t).pem)
	_, err = get(t, client, server.URL)
	wantFailure(t, err, "its TLS certificate is not trusted")
	close(release)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "late" {
		t.Errorf("the answer under way became %q, error %v", body, err)
	}
}

func TestPlainHTTPNeedsNoCertificates(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	client := newClient(t, outbound.Options{CAFile: filepath.Join(t.TempDir(), "none")})
	if _, err := get(t, client, server.URL); err != nil {
		t.Error(err)
	}
}

// ask reports whether the request went over a connection that was there before.
func ask(t *testing.T, client *http.Client, url string) (reused bool, err error) {
	t.Helper()
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return reused, err
}
