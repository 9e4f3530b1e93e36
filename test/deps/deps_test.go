// Package deps holds the test that fails when a package comes to depend on
// something that it must stay free of, directly or by way of others. The linter
// keeps the table of direct imports; this keeps what the table is for.
package deps

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mcp-sampling/mcp-sampling-operator"

// sampler is the data plane's tree.
const sampler = module + "/internal/sampler"

// ban keeps packages free of others.
type ban struct {
	// packages is a pattern of `go list`.
	packages string
	// deps are import paths that the packages must not reach; a path bans all
	// below it too.
	deps []string
	// except are import paths below deps that are allowed.
	except []string
	// why is what a developer reads who has just broken it.
	why string
}

var bans = map[string]ban{
	"the data plane knows nothing of Kubernetes": {
		packages: "./internal/sampler/...",
		deps:     []string{"k8s.io", "sigs.k8s.io", module + "/api", module + "/controllers"},
		except:   []string{"sigs.k8s.io/json", "sigs.k8s.io/yaml"},
		why:      "the sampler runs in front of any server, with or without a cluster, holds no token of one, and must stay below 20 MiB of memory",
	},
	"the sampler's binary knows nothing of Kubernetes": {
		packages: "./cmd/sampler/...",
		deps:     []string{"k8s.io", "sigs.k8s.io", module + "/api", module + "/controllers"},
		except:   []string{"sigs.k8s.io/json", "sigs.k8s.io/yaml"},
		why:      "the sampler runs in front of any server, with or without a cluster, holds no token of one, and must stay below 20 MiB of memory",
	},
	"the manager never speaks to models or as MCP": {
		packages: "./cmd/manager/...",
		deps: []string{
			"github.com/openai", "github.com/mark3labs/mcp-go", "github.com/modelcontextprotocol/go-sdk",
			sampler + "/engine", sampler + "/policy", sampler + "/provider", sampler + "/proxy", sampler + "/resident",
		},
		why: "the manager has rights in the cluster, so it calls neither models nor servers of users: that is for the samplers, which have no rights",
	},
	"the plugin decides without asking a model": {
		packages: "./cmd/kubectl-mcp/...",
		deps: []string{
			"github.com/openai", "github.com/anthropics", "google.golang.org/genai", "github.com/mark3labs/mcp-go", "github.com/redis",
			sampler + "/engine", sampler + "/limits", sampler + "/provider/", sampler + "/proxy", sampler + "/resident",
		},
		why: "users download it, and what it says about a policy or a record needs their types and no client of a model",
	},
	"controllers share only plain types with the data plane": {
		packages: "./controllers/...",
		deps:     []string{sampler},
		except:   []string{sampler + "/config", sampler + "/statusz"},
		why:      "the two halves meet in config (what goes down) and statusz (what comes back) and nowhere else",
	},
	"the effective configuration stays plain": {
		packages: "./internal/sampler/config",
		deps:     []string{module, "."},
		except:   []string{sampler + "/config", "sigs.k8s.io/json", "sigs.k8s.io/yaml", "go.yaml.in/yaml"},
		why:      "operator and sampler both take on whatever config depends on",
	},
	"the report of a sampler stays plain": {
		packages: "./internal/sampler/statusz",
		deps:     []string{module, "."},
		except:   []string{sampler + "/statusz"},
		why:      "operator and sampler both take on whatever statusz depends on",
	},
	"the API needs nothing of ours": {
		packages: "./api/...",
		deps:     []string{module, "sigs.k8s.io/controller-runtime", "k8s.io/client-go"},
		except:   []string{module + "/api"},
		why:      "other projects import the API types, and get all that they depend on",
	},
	"fixtures and fakes stay out of the binaries": {
		packages: "./cmd/...",
		deps:     []string{module + "/internal/testing"},
		why:      "internal/testing is for tests; a canned model in a product would be a lie",
	},
	// Not of the sampler: Google's client imports it.
	"the manager runs without the tools of tests": {
		packages: "./cmd/manager/...",
		deps:     []string{"testing"},
		why:      "what imports testing is made for tests",
	},
	"the plugin runs without the tools of tests": {
		packages: "./cmd/kubectl-mcp/...",
		deps:     []string{"testing"},
		why:      "what imports testing is made for tests",
	},
}

func TestPackagesStayFreeOfWhatTheyMustNotReach(t *testing.T) {
	for name, ban := range bans {
		t.Run(name, func(t *testing.T) {
			for _, dep := range list(t, ban.packages) {
				if !ban.forbids(dep) {
					continue
				}
				t.Errorf("%s reaches %s, which it must not: %s.\nThe way there: go mod why %s, or go list -deps %s",
					ban.packages, dep, ban.why, dep, ban.packages)
			}
		})
	}
}

// forbids reports whether a package must not be reached.
func (b ban) forbids(dep string) bool {
	return matches(b.deps, dep) && !matches(b.except, dep)
}

// matches reports whether a package is one of paths or below one. The path "."
// stands for everything outside of the standard library.
func matches(paths []string, dep string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		if path == "." {
			first, _, _ := strings.Cut(dep, "/")
			return strings.Contains(first, ".")
		}
		return dep == path || strings.HasPrefix(dep, strings.TrimSuffix(path, "/")+"/")
	})
}

// list returns the packages that match and all that they depend on, tests left
// out.
func list(t *testing.T, packages string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", packages)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, stderr.String())
	}
	deps := strings.Fields(string(out))
	if len(deps) == 0 {
		t.Fatalf("%s matches no package: correct the pattern", packages)
	}
	return deps
}

func TestBanMatching(t *testing.T) {
	for name, tc := range map[string]struct {
		ban  ban
		dep  string
		want bool
	}{
		"the path itself":              {ban{deps: []string{"k8s.io/api"}}, "k8s.io/api", true},
		"below the path":               {ban{deps: []string{"k8s.io"}}, "k8s.io/api/core/v1", true},
		"only the same first letters":  {ban{deps: []string{"k8s.io/api"}}, "k8s.io/apimachinery", false},
		"an exception":                 {ban{deps: []string{"sigs.k8s.io"}, except: []string{"sigs.k8s.io/yaml"}}, "sigs.k8s.io/yaml", false},
		"beside an exception":          {ban{deps: []string{"sigs.k8s.io"}, except: []string{"sigs.k8s.io/yaml"}}, "sigs.k8s.io/json", true},
		"anything outside, by the dot": {ban{deps: []string{"."}}, "example.com/x", true},
		"the standard library":         {ban{deps: []string{"."}}, "encoding/json", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.ban.forbids(tc.dep); got != tc.want {
				t.Errorf("forbids(%q) = %v, want %v", tc.dep, got, tc.want)
			}
		})
	}
}

// opens are the packages by which a program opens a URL or a file.
var opens = map[string][]string{
	"net/http": {module + "/controllers/observe", module + "/cmd/manager"}, // the manager answers probes
	// Joined or parsed are host and port.
	"net":     {module + "/controllers/observe", module + "/controllers/resolve", module + "/controllers"},
	"os":      {module + "/cmd/manager"},
	"os/exec": nil,
	"net/rpc": nil,
}

// The manager holds rights in the cluster, so what users write into a spec must
// not make it read a file or connect to anything: observe alone connects, and to
// addresses of pods.
func TestTheManagerOpensNothingThatASpecNames(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./controllers/...", "./cmd/manager/...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	checked := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		checked++
		for _, imported := range words[1:] {
			if allowed, ok := opens[imported]; ok && !slices.Contains(allowed, words[0]) {
				t.Errorf("%s imports %s: the manager must not open what a user names", words[0], imported)
			}
		}
	}
	if checked < 7 {
		t.Fatalf("only %d packages found", checked)
	}
}
