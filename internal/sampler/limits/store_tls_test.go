package limits

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// certificate writes one for address that signs itself, and returns its files.
func certificate(t *testing.T, address string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "store"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestAStoreWithTLS(t *testing.T) {
	for name, test := range map[string]struct {
		address    string // of the certificate
		other      bool   // CAFile is of somebody else
		wantState  statusz.StoreState
		wantDetail string
	}{
		"trusted":                        {"127.0.0.1", false, statusz.StoreHealthy, ""},
		"signed by somebody else":        {"127.0.0.1", true, statusz.StoreUnreachable, "the certificate is not trusted"},
		"a certificate for another host": {"127.0.0.2", false, statusz.StoreUnreachable, "the certificate is for another host"},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := listener.Addr().String()
			_ = listener.Close()
			_, port, _ := net.SplitHostPort(address)
			cert, key := certificate(t, test.address)
			startRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
			eventually(t, "it listens", func() bool {
				conn, err := net.Dial("tcp", address)
				if err == nil {
					_ = conn.Close()
				}
				return err == nil
			})
			if test.other {
				cert, _ = certificate(t, test.address)
			}
			l := newReplica(t, config.SamplingLimits{Store: &config.Store{Address: address, TLS: true, CAFile: cert}})
			if got := l.wait(t, test.wantState); got.Detail != test.wantDetail {
				t.Errorf("the detail is %q, want %q", got.Detail, test.wantDetail)
			}
		})
	}
}
