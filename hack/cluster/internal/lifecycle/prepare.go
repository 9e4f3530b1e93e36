package lifecycle

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/image"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/pki"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
)

// programs are those that a cluster needs and that are no component of this binary.
var programs = []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "ip", "nft", "conntrack", "/usr/lib/cni/bridge", "/usr/lib/cni/host-local", "/usr/lib/cni/loopback", "/usr/lib/cni/portmap"}

// checkMachine refuses early, and with what to do, what would fail late and obscurely.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster needs namespaces, mounts and control groups: run this as root, or set CLUSTER=kind if you have Docker and kind")
	}
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing: %s. Run hack/cluster/install-deps.sh (Debian and Ubuntu)", strings.Join(missing, ", "))
	}
	return nil
}

// prepare writes everything that the parts read. The API server is at that port of the host.
func prepare(c layout.Cluster, pauseProgram string, apiPort int) error {
	for _, dir := range []string{c.Dir, c.Logs(), c.PKI(""), c.Config("cni"), c.Path("tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the cluster's folder: %w", err)
		}
	}
	if err := os.Chmod(c.PKI(""), 0o700); err != nil {
		return fmt.Errorf("closing the folder of keys to others: %w", err)
	}
	files := settings.Files(c)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := write(c.Config(name), []byte(files[name])); err != nil {
			return err
		}
	}
	if err := writePKI(c, apiPort); err != nil {
		return err
	}
	program, err := os.ReadFile(pauseProgram)
	if err != nil {
		return fmt.Errorf("reading the pause program: %w; build devcluster with hack/cluster/build.sh", err)
	}
	archive, err := image.Single(settings.PauseImage, program)
	if err != nil {
		return err
	}
	return write(c.Path("pause.tar"), archive)
}

// writePKI makes new certificates, keys and kubeconfigs.
func writePKI(c layout.Cluster, apiPort int) error {
	now := time.Now()
	ca, err := pki.NewAuthority("devcluster-"+c.Name, now)
	if err != nil {
		return err
	}
	front, err := pki.NewAuthority("devcluster-"+c.Name+"-front-proxy", now)
	if err != nil {
		return err
	}
	frontClient, err := front.Issue(pki.Subject{CommonName: "front-proxy-client"})
	if err != nil {
		return err
	}
	serviceAccountKey, err := pki.NewServiceAccountKey()
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"ca.crt":                 ca.CertPEM,
		"ca.key":                 ca.KeyPEM,
		"front-proxy-ca.crt":     front.CertPEM,
		"front-proxy-client.crt": frontClient.CertPEM,
		"front-proxy-client.key": frontClient.KeyPEM,
		"service-account.key":    serviceAccountKey,
	}
	for name, subject := range settings.Certificates(c) {
		pair, err := ca.Issue(subject)
		if err != nil {
			return err
		}
		files[name+".crt"], files[name+".key"] = pair.CertPEM, pair.KeyPEM
	}
	for name, data := range files {
		if err := write(c.PKI(name), data); err != nil {
			return err
		}
	}
	inside := "https://127.0.0.1:" + settings.APIPort
	for name, subject := range settings.Clients(c) {
		pair, err := ca.Issue(subject)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(c.PKI(name+".kubeconfig"), c, inside, ca.CertPEM, pair); err != nil {
			return err
		}
		if name == "admin" {
			outside := fmt.Sprintf("https://127.0.0.1:%d", apiPort)
			if err := writeKubeconfig(c.Kubeconfig(), c, outside, ca.CertPEM, pair); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeKubeconfig(path string, c layout.Cluster, server string, ca []byte, user pki.Pair) error {
	name := "devcluster-" + c.Name
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: user.CertPEM, ClientKeyData: user.KeyPEM}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	raw, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encoding the kubeconfig %s: %w", filepath.Base(path), err)
	}
	return write(path, raw)
}

// write writes a file that may hold keys.
func write(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing a file of the cluster: %w", err)
	}
	return nil
}
