package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"
)

func TestIssuedCertificatesAreAccepted(t *testing.T) {
	now := time.Now()
	ca, err := NewAuthority("ca", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewAuthority("ca", now)
	if err != nil {
		t.Fatal(err)
	}
	server := Subject{CommonName: "server", DNSNames: []string{"kubernetes.default"}, IPs: []net.IP{net.IPv4(10, 96, 0, 1)}}
	for sentence, test := range map[string]struct {
		subject Subject
		by      *Authority
		name    string
		usage   x509.ExtKeyUsage
		wantOK  bool
	}{
		"a server is accepted by its name":             {server, ca, "kubernetes.default", x509.ExtKeyUsageServerAuth, true},
		"a server is accepted by its address":          {server, ca, "10.96.0.1", x509.ExtKeyUsageServerAuth, true},
		"a server is refused by a name it has not":     {server, ca, "example.com", x509.ExtKeyUsageServerAuth, false},
		"a server is accepted as a client too":         {server, ca, "", x509.ExtKeyUsageClientAuth, true},
		"a client is accepted as a client":             {Subject{CommonName: "c"}, ca, "", x509.ExtKeyUsageClientAuth, true},
		"a client without names can't pose as server":  {Subject{CommonName: "c"}, ca, "", x509.ExtKeyUsageServerAuth, false},
		"what another authority has signed is refused": {server, other, "kubernetes.default", x509.ExtKeyUsageServerAuth, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			pair, err := test.by.Issue(test.subject)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
			if err != nil {
				t.Fatalf("certificate and key don't fit: %v", err)
			}
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(ca.CertPEM) {
				t.Fatal("the authority's certificate can't be read")
			}
			_, err = cert.Leaf.Verify(x509.VerifyOptions{
				Roots: roots, DNSName: test.name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{test.usage},
			})
			if (err == nil) != test.wantOK {
				t.Errorf("verification: %v, want accepted: %t", err, test.wantOK)
			}
		})
	}
}
