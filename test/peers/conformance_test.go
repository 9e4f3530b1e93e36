package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// suitePatience bounds one run of a conformance suite, which takes seconds.
const suitePatience = 3 * time.Minute

// The session era's newest version, at which the suites run its scenarios.
const legacyVersion = "2025-11-25"

// The fixtures of the suites.
const (
	goSDKFixture = "go-sdk everything-server"
	mcpGoFixture = "mcp-go conformance server"
)

func goSDKBridge(t *testing.T) string { return bridge(t, lab.goSDK) }

// unlike are checks that cannot come out the same through a sampler, with the
// reason.
var unlike = map[string]string{
	"sep-2575-server-rejects-undeclared-capability": servesTheUndeclared,
	"sep-2575-missing-capability-http-400":          servesTheUndeclared,
}

const servesTheUndeclared = `a tool that needs sampling is called by a caller that declares none and must be refused; the sampler is there to have it served`

// varying are scenarios that fail or pass directly by chance, with the reason.
// The other fixture has them steady.
var varying = map[string]map[string]string{
	mcpGoFixture: {
		"tools-call-with-logging":  mcpGoDrops,
		"tools-call-with-progress": mcpGoDrops,
	},
}

const mcpGoDrops = "mcp-go may end the stream of a call without the last of its notifications"

// TestConformanceSuites runs the official suites against fixtures of two
// makers, directly and through the sampler.
func TestConformanceSuites(t *testing.T) {
	t.Parallel()
	for _, run := range []struct {
		suite, version, fixture, transport string
		start                              func(t *testing.T) string
	}{
		{"conformance-0.1", legacyVersion, goSDKFixture, streamableHTTP, goSDKServer(false)},
		{"conformance-0.1", legacyVersion, mcpGoFixture, streamableHTTP, mcpGoServer},
		{"conformance-0.2", legacyVersion, goSDKFixture, streamableHTTP, goSDKServer(false)},
		{"conformance-0.2", legacyVersion, mcpGoFixture, streamableHTTP, mcpGoServer},
		{"conformance-0.2", modernVersion, goSDKFixture, streamableHTTP, goSDKServer(true)},
		{"conformance-0.2", modernVersion, mcpGoFixture, streamableHTTP, mcpGoServer},
		// The suites speak HTTP only, so directly is at the bridge.
		{"conformance-0.2", legacyVersion, goSDKFixture, stdio, goSDKBridge},
		{"conformance-0.2", modernVersion, goSDKFixture, stdio, goSDKBridge},
	} {
		era := legacy
		if run.version == modernVersion {
			era = modern
		}
		t.Run(run.suite+" "+run.fixture+" "+run.transport+" "+run.version, func(t *testing.T) {
			t.Parallel()
			_, modelURL := model(t)
			// A fixture for each: scenarios change what it lists.
			p := pair{suite: run.suite, version: run.version, except: unlike,
				directly: run.start(t), through: sampler(t, run.start(t), streamableHTTP, "Fallback", modelURL)}
			for name, verdict := range p.compare(t, varying[run.fixture]) {
				line := row{section: conformance, peer: run.fixture, transport: run.transport, era: era,
					what: name + ", suite " + strings.TrimPrefix(run.suite, "conformance-"), direct: verdict[0], through: verdict[1]}
				table.add(line)
			}
		})
	}
}

// TestConformanceWithoutPolicy has no checks that come out unlike: without a
// policy the sampler declares nothing.
func TestConformanceWithoutPolicy(t *testing.T) {
	t.Parallel()
	p := pair{suite: "conformance-0.2", version: modernVersion,
		directly: goSDKServer(true)(t), through: samplerWithoutPolicy(t, goSDKServer(true)(t))}
	verdict := p.compare(t, nil)[statelessScenario]
	table.add(row{section: conformance, peer: goSDKFixture, transport: streamableHTTP, era: modern,
		what: statelessScenario + ", suite 0.2, without a policy", direct: verdict[0], through: verdict[1]})
}

// pair is a suite at one version, and the two URLs that it is run at.
type pair struct {
	suite, version    string
	directly, through string
	except            map[string]string
}

// compare runs all scenarios at both, and returns what they came to.
func (p pair) compare(t *testing.T, varying map[string]string) map[string][2]string {
	t.Helper()
	all := []string{"--suite", "all"}
	directly, through := p.run(t, p.directly, all...), p.run(t, p.through, all...)
	out := map[string][2]string{}
	for name, want := range directly {
		if varying[name] != "" {
			out[name] = [2]string{varies, varies}
			continue
		}
		got := through[name]
		// Some scenarios wait for a set time only, which a busy machine exceeds:
		// what differs is run again, alone.
		for range 2 {
			if slices.Equal(want.verdicts(p.except), got.verdicts(p.except)) {
				break
			}
			alone := []string{"--scenario", name}
			want, got = p.run(t, p.directly, alone...)[name], p.run(t, p.through, alone...)[name]
		}
		if d := cmp.Diff(want.verdicts(p.except), got.verdicts(p.except)); d != "" {
			t.Errorf("%s: checks (-directly +through the sampler):\n%s\n%s", name, d, got.complaints())
		}
		out[name] = [2]string{want.summary(nil), got.summary(p.except)}
	}
	if len(through) != len(directly) {
		t.Errorf("%d scenarios through the sampler, %d directly", len(through), len(directly))
	}
	return out
}

// statelessScenario is the one that has checks which are unlike.
const statelessScenario = "server-stateless"

const varies = "by chance"

// check is one line of a scenario's result.
type check struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	ErrorMessage string `json:"errorMessage"`
}

type checks []check

// Statuses of checks; others are information only.
const (
	success = "SUCCESS"
	failure = "FAILURE"
)

// verdicts are those that have to be the same.
func (c checks) verdicts(except map[string]string) []string {
	var out []string
	for _, one := range c {
		if (one.Status == success || one.Status == failure) && except[one.ID] == "" {
			out = append(out, one.ID+" "+one.Status)
		}
	}
	slices.Sort(out)
	return out
}

func (c checks) summary(except map[string]string) string {
	passed, failed, excepted := 0, 0, 0
	for _, one := range c {
		switch {
		case one.Status == failure && except[one.ID] != "":
			excepted++
		case one.Status == success:
			passed++
		case one.Status == failure:
			failed++
		}
	}
	switch {
	case excepted > 0 && failed == 0:
		return fmt.Sprintf("passes %d, %d unlike", passed, excepted)
	case failed > 0:
		return fmt.Sprintf("fails %d of %d", failed, failed+passed)
	case passed > 0:
		return fmt.Sprintf("passes %d", passed)
	default:
		return "nothing to check"
	}
}

func (c checks) complaints() string {
	var out []string
	for _, one := range c {
		if one.Status == failure {
			out = append(out, one.ID+": "+one.ErrorMessage)
		}
	}
	return strings.Join(out, "\n")
}

// scenarioDirectory is server-NAME-TIME.
var scenarioDirectory = regexp.MustCompile(`^(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$`)

// run runs scenarios at a URL and returns their checks.
func (p pair) run(t *testing.T, url string, which ...string) map[string]checks {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suitePatience)
	defer cancel()
	results := t.TempDir()
	args := append([]string{filepath.Join(lab.modules, p.suite, "dist/index.js"),
		"server", "--url", url, "--spec-version", p.version, "--output-dir", results}, which...)
	cmd := command(ctx, nil, lab.node, args...)
	said, runErr := cmd.CombinedOutput() // it fails where a scenario does
	if ctx.Err() != nil {
		t.Fatalf("%s at %s: %v\n%s", p.suite, url, ctx.Err(), said)
	}
	directories, err := os.ReadDir(results)
	if err != nil || len(directories) == 0 {
		t.Fatalf("%s at %s left no results: %v, %v\n%s", p.suite, url, err, runErr, said)
	}
	out := map[string]checks{}
	for _, d := range directories {
		name := scenarioDirectory.FindStringSubmatch(d.Name())
		if name == nil {
			t.Fatalf("%s left %s, which is no scenario's", p.suite, d.Name())
		}
		data, err := os.ReadFile(filepath.Join(results, d.Name(), "checks.json"))
		if err != nil {
			t.Fatal(err)
		}
		var list checks
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatalf("%s: %v", d.Name(), err)
		}
		out[name[1]] = list
	}
	return out
}
