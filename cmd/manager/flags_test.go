package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestFlags(t *testing.T) {
	for name, tc := range map[string]struct {
		args    []string
		wantErr string
	}{
		"only what is required":             {args: []string{"--sampler-image=x"}},
		"the image is missing":              {args: nil, wantErr: "--sampler-image is missing"},
		"a version needs no image":          {args: []string{"--version"}},
		"an unknown pull policy":            {args: []string{"--sampler-image=x", "--sampler-image-pull-policy=never"}, wantErr: "write Always, IfNotPresent or Never"},
		"pull secrets of the sampler":       {args: []string{"--sampler-image=x", "--sampler-image-pull-secrets=a,b.c"}},
		"a pull secret that cannot be":      {args: []string{"--sampler-image=x", "--sampler-image-pull-secrets=a,B_"}, wantErr: `"B_", which is no name of a Secret`},
		"a list of namespaces":              {args: []string{"--sampler-image=x", "--namespaces=a,b"}},
		"a namespace that cannot be":        {args: []string{"--sampler-image=x", "--namespaces=a,B_"}, wantErr: `"B_", which is no name of a namespace`},
		"a cluster domain that cannot be":   {args: []string{"--sampler-image=x", "--cluster-domain=http://x"}, wantErr: "write a DNS domain like cluster.local"},
		"an unknown Pod Security level":     {args: []string{"--sampler-image=x", "--pod-security=strict"}, wantErr: "write privileged, baseline or restricted"},
		"a selector that cannot be":         {args: []string{"--sampler-image=x", "--operator-selector=a b=c"}, wantErr: "--operator-selector"},
		"a namespace of its own":            {args: []string{"--sampler-image=x", "--operator-namespace=ops", "--operator-selector=app=manager,tier=ops"}},
		"nobody may scrape":                 {args: []string{"--sampler-image=x", "--metrics-from=[]"}},
		"scrapers that are no list":         {args: []string{"--sampler-image=x", "--metrics-from=monitoring"}, wantErr: "write a list of peers as in a NetworkPolicy"},
		"a scraper with an unknown key":     {args: []string{"--sampler-image=x", `--metrics-from=[{"namespace":"x"}]`}, wantErr: `unknown field "namespace"`},
		"a scraper that is nobody":          {args: []string{"--sampler-image=x", `--metrics-from=[{}]`}, wantErr: "peer 1 names nobody"},
		"a scraper of two kinds":            {args: []string{"--sampler-image=x", `--metrics-from=[{"podSelector":{},"ipBlock":{"cidr":"10.0.0.0/8"}}]`}, wantErr: "write two peers"},
		"a scraper that cannot be selected": {args: []string{"--sampler-image=x", `--metrics-from=[{"podSelector":{"matchExpressions":[{"key":"a","operator":"Is"}]}}]`}, wantErr: "--metrics-from: peer 1"},
		"two lists of scrapers":             {args: []string{"--sampler-image=x", `--metrics-from=[][]`}, wantErr: "something follows the list"},
		"a collector":                       {args: []string{"--sampler-image=x", "--otlp-endpoint=http://c:4318", "--otlp-signals=traces", "--otlp-traces-ratio=0.25"}},
		"a collector without a scheme":      {args: []string{"--sampler-image=x", "--otlp-endpoint=c:4318"}, wantErr: "write one like http://"},
		"a collector with a password":       {args: []string{"--sampler-image=x", "--otlp-endpoint=http://a:b@c:4318"}, wantErr: "credentials belong into a collector"},
		"more traces than there are":        {args: []string{"--sampler-image=x", "--otlp-traces-ratio=2"}, wantErr: "write a number from 0 to 1"},
		"a ratio that is no number":         {args: []string{"--sampler-image=x", "--otlp-traces-ratio=NaN"}, wantErr: "write a number from 0 to 1"},
		"an unknown signal":                 {args: []string{"--sampler-image=x", "--otlp-signals=profiles"}, wantErr: "write traces, metrics or logs"},
		"an unknown log level":              {args: []string{"--sampler-image=x", "--log-level=loud"}, wantErr: "write debug, info, warn or error"},
		"an unknown log format":             {args: []string{"--sampler-image=x", "--log-format=xml"}, wantErr: "write json or text"},
		"something that is no flag":         {args: []string{"--sampler-image=x", "run"}, wantErr: `unexpected argument "run"`},
		"all that is wrong is said at once": {args: []string{"--log-level=loud", "--log-format=xml"}, wantErr: "--sampler-image is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args, io.Discard)
			switch {
			case tc.wantErr == "" && err != nil:
				t.Errorf("unexpected error: %v", err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("error %v, want one with %q", err, tc.wantErr)
			}
		})
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out bytes.Buffer
	if _, err := parse([]string{"--help"}, &out); !errors.Is(err, pflag.ErrHelp) {
		t.Fatalf("error %v, want that of help", err)
	}
	for _, flag := range []string{"sampler-image", "sampler-image-pull-policy", "sampler-image-pull-secrets", "namespaces", "cluster-domain", "network-policies", "operator-namespace", "operator-selector", "pod-security", "metrics-from", "otlp-endpoint", "otlp-traces-ratio", "otlp-signals", "metrics-bind-address",
		"health-probe-bind-address", "leader-elect", "leader-election-namespace", "log-level", "log-format", "version", "kubeconfig"} {
		if !strings.Contains(out.String(), "--"+flag+" ") {
			t.Errorf("help does not name --%s", flag)
		}
	}
}

func TestLogFormatAndLevel(t *testing.T) {
	var out bytes.Buffer
	o, err := parse([]string{"--sampler-image=x", "--log-level=warn"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	logger := o.logger(&out)
	logger.Info("quiet")
	logger.Warn("loud", slog.String("key", "value"))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("not one line of JSON: %v\n%s", err, out.String())
	}
	if line["msg"] != "loud" || line["key"] != "value" {
		t.Errorf("the line is %v", line)
	}
}

func TestSchemeKnowsOnlyWhatIsNeeded(t *testing.T) {
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"MCPServer", "SamplingPolicy", "Deployment", "Pod"} {
		found := false
		for gvk := range scheme.AllKnownTypes() {
			found = found || gvk.Kind == kind
		}
		if !found {
			t.Errorf("kind %s is missing", kind)
		}
	}
}

// An alert asks for the Lease by its name.
func TestTheAlertKnowsTheLease(t *testing.T) {
	alerts, err := os.ReadFile("../../charts/mcp-sampling-operator/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("leader_election_master_status{name=%q}", leaderElectionID); !strings.Contains(string(alerts), want) {
		t.Errorf("no alert has %s", want)
	}
}
