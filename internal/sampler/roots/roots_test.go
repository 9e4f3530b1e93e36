package roots

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"
)

// TestInstall runs itself in a process whose system has no certificates: what a
// process has loaded once stays.
func TestInstall(t *testing.T) {
	if os.Getenv("ROOTS_TEST_CHILD") == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		child := exec.CommandContext(t.Context(), self, "-test.run=^TestInstall$")
		none := t.TempDir()
		child.Env = append(os.Environ(), "ROOTS_TEST_CHILD=1", "SSL_CERT_FILE="+none+"/none", "SSL_CERT_DIR="+none)
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for range 2 {
		if err := Install(); err != nil {
			t.Fatal(err)
		}
	}
	pool, err := x509.SystemCertPool()
	if err != nil || pool.Equal(x509.NewCertPool()) {
		t.Errorf("there are no root certificates, error %v", err)
	}
}
