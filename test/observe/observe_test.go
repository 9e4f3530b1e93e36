package observe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	alertsFile    = "../../charts/mcp-sampling-operator/files/alerts.yaml"
	dashboardFile = "../../charts/mcp-sampling-operator/files/dashboard.json"
	page          = "../../docs/observe.md"
	cases         = "testdata/alerts_test.yaml"
)

var programs = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("../../hack/prometheus.sh")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
})

// promtool returns what the real promtool says, run in a folder of its own with
// these files.
func promtool(t *testing.T, files map[string]string, args ...string) (string, error) {
	t.Helper()
	bin, err := programs()
	if err != nil {
		t.Fatalf("hack/prometheus.sh: %v", err)
	}
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "promtool"), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func alerts(t *testing.T) []Alert {
	t.Helper()
	all, err := ReadAlerts(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

func TestAlertsFireWhereTheyShouldAndNowhereElse(t *testing.T) {
	files := map[string]string{"alerts.yaml": read(t, alertsFile), "alerts_test.yaml": read(t, cases)}
	if out, err := promtool(t, files, "test", "rules", "alerts_test.yaml"); err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

// What the cases are worth: each alert is missed by them where it never fires.
func TestCasesMissAnAlertThatNeverFires(t *testing.T) {
	for _, alert := range alerts(t) {
		t.Run(alert.Alert, func(t *testing.T) {
			head := "- alert: " + alert.Alert + "\n    expr: |\n"
			never := strings.Replace(read(t, alertsFile), head, head+"      vector(0) > 0 and\n", 1)
			files := map[string]string{"alerts.yaml": never, "alerts_test.yaml": read(t, cases)}
			if out, err := promtool(t, files, "test", "rules", "alerts_test.yaml"); err == nil || !strings.Contains(out, alert.Alert) {
				t.Errorf("promtool says (error %v)\n%s", err, out)
			}
		})
	}
}

func TestEveryAlertIsTriedBothWaysAndExplained(t *testing.T) {
	var tests struct {
		Tests []struct {
			Alerts []struct {
				Name string `json:"alertname"`
				Want []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal([]byte(read(t, cases)), &tests); err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, a := range test.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Want) > 0
			silent[a.Name] = silent[a.Name] || len(a.Want) == 0
		}
	}
	docs := read(t, page)
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !silent[a.Alert] {
			t.Errorf("%s: tried where it fires: %v, where it is silent: %v; want both in %s", a.Alert, fires[a.Alert], silent[a.Alert], cases)
		}
		if a.For == "" || a.Labels["severity"] == "" || a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s has no for, severity, summary or description", a.Alert)
		}
		if want := "docs/observe.md#" + strings.ToLower(a.Alert); !strings.HasSuffix(a.Annotations["runbook_url"], want) {
			t.Errorf("%s: runbook_url %q does not end with %s", a.Alert, a.Annotations["runbook_url"], want)
		}
		if !strings.Contains(docs, "\n### "+a.Alert+"\n") {
			t.Errorf("%s has no section in docs/observe.md", a.Alert)
		}
	}
}

func TestPromtoolTakesWhatThePageAndThePanelsSay(t *testing.T) {
	d, err := ReadDashboard(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: panels\n  rules:\n")
	n := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			n++
			fmt.Fprintf(&rules, "  - record: panel:%d\n    expr: %q\n", n, Fill(target.Expr, map[string]string{"__rate_interval": "5m"}))
		}
	}
	if out, err := promtool(t, map[string]string{"panels.yaml": rules.String()}, "check", "rules", "panels.yaml"); err != nil {
		t.Errorf("the panels' queries: %v\n%s", err, out)
	}

	block := regexp.MustCompile("(?s)```text\n(scrape_configs:.*?)```").FindStringSubmatch(read(t, page))
	if block == nil {
		t.Fatal("docs/observe.md has no scrape_configs")
	}
	// Debian builds Prometheus without the discovery of Kubernetes.
	config := strings.ReplaceAll(block[1], "kubernetes_sd_configs: [{role: pod}]", "static_configs: [{targets: ['10.0.0.1:9464']}]")
	if config == block[1] {
		t.Fatal("scrape_configs of docs/observe.md find no pods")
	}
	if out, err := promtool(t, map[string]string{"prometheus.yaml": config}, "check", "config", "prometheus.yaml"); err != nil {
		t.Errorf("scrape_configs of docs/observe.md: %v\n%s", err, out)
	}
}

func TestDashboardIsReadable(t *testing.T) {
	d, err := ReadDashboard(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[int]string{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if other, there := ids[p.ID]; there {
			t.Errorf("%q and %q have the same id %d", other, p.Title, p.ID)
		}
		ids[p.ID] = p.Title
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("%q is over %q", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%q goes beyond the 24 columns", p.Title)
		}
		if p.Title == "" {
			t.Errorf("panel %d has no title", p.ID)
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("%q has no description, unit or query", p.Title)
		}
	}
}
