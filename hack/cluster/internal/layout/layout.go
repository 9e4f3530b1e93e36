// Package layout says where a cluster keeps what: one folder a cluster, below the project's cache.
package layout

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// CacheVariable is the environment variable that moves the cache folder.
const CacheVariable = "MCP_SAMPLING_CACHE"

// hidden are the folders that the cluster covers with its own inside its mount namespace. State
// kept below them could not be seen from within.
var hidden = []string{"/run", "/var/run", "/var/lib", "/var/log", "/proc", "/sys", "/dev"}

// A name becomes a host name, a folder and a cgroup.
var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$`)

// Cluster is the place of one cluster.
type Cluster struct {
	Name string
	// Dir is the absolute path of the cluster's folder.
	Dir string
}

// New returns the layout of the cluster with that name in that cache folder.
func New(cache, name string) (Cluster, error) {
	if !validName.MatchString(name) {
		return Cluster{}, fmt.Errorf("cluster name %q: use at most 30 lower-case letters, digits and '-', beginning and ending with a letter or digit", name)
	}
	abs, err := filepath.Abs(cache)
	if err != nil {
		return Cluster{}, fmt.Errorf("finding the cache folder %s: %w", cache, err)
	}
	for _, h := range hidden {
		if abs == h || strings.HasPrefix(abs, h+"/") {
			return Cluster{}, fmt.Errorf("the cache folder %s is below %s, which the cluster replaces by its own: set %s to a folder elsewhere", abs, h, CacheVariable)
		}
	}
	return Cluster{Name: name, Dir: filepath.Join(abs, "clusters", name)}, nil
}

// CacheDir returns the cache folder that the environment asks for.
func CacheDir() (string, error) {
	if dir := os.Getenv(CacheVariable); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w; set %s", err, CacheVariable)
	}
	return filepath.Join(dir, "mcp-sampling-operator"), nil
}

// Path returns the path of something in the cluster's folder.
func (c Cluster) Path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

// Kubeconfig is the administrator's kubeconfig, for use from the host.
func (c Cluster) Kubeconfig() string { return c.Path("kubeconfig") }

// PKI is the path of a certificate, key or kubeconfig that a part uses.
func (c Cluster) PKI(file string) string { return c.Path("pki", file) }

// Config is the path of a part's configuration file.
func (c Cluster) Config(file string) string { return c.Path("config", file) }

// Logs is the folder of the parts' logs.
func (c Cluster) Logs() string { return c.Path("logs") }

// Log is the path of a part's log.
func (c Cluster) Log(part string) string { return c.Path("logs", part+".log") }

// Cgroup is the name of the cluster's root cgroup in every hierarchy.
func (c Cluster) Cgroup() string { return "devcluster-" + c.Name }

// Node is the name of the cluster's only node, and its host name.
func (c Cluster) Node() string { return "devcluster-" + c.Name }
