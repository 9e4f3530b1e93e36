// Package observe reads the chart's dashboard, alerts and monitors, so that tests can
// hold them against a real Prometheus.
package observe

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// Target is one query of a panel.
type Target struct {
	Expr string `json:"expr"`
}

// GridPos is where a panel is.
type GridPos struct {
	X, Y, W, H int
}

// Panel is one panel of a dashboard; one of type "row" is only a heading.
type Panel struct {
	ID          int      `json:"id"`
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	GridPos     GridPos  `json:"gridPos"`
	Targets     []Target `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

// Variable is what a user of the dashboard chooses.
type Variable struct {
	Name, Type string
	// Query asks for the values: label_values(SELECTOR, LABEL).
	Query string
}

// UnmarshalJSON reads a query that is a text (of a data source) or an object.
func (v *Variable) UnmarshalJSON(data []byte) error {
	var raw struct {
		Name, Type string
		Query      json.RawMessage
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	v.Name, v.Type = raw.Name, raw.Type
	var object struct{ Query string }
	if json.Unmarshal(raw.Query, &object) == nil {
		v.Query = object.Query
		return nil
	}
	return json.Unmarshal(raw.Query, &v.Query)
}

// Values returns the parts of label_values(selector, label).
func (v Variable) Values() (selector, label string, err error) {
	inner, found := strings.CutPrefix(v.Query, "label_values(")
	inner, closed := strings.CutSuffix(inner, ")")
	at := strings.LastIndex(inner, ",")
	if !found || !closed || at < 0 {
		return "", "", fmt.Errorf("variable %s: %q is not label_values(SELECTOR, LABEL)", v.Name, v.Query)
	}
	return inner[:at], strings.TrimSpace(inner[at+1:]), nil
}

// Dashboard is a dashboard of Grafana.
type Dashboard struct {
	Panels     []Panel `json:"panels"`
	Templating struct {
		List []Variable `json:"list"`
	} `json:"templating"`
}

// ReadDashboard reads a dashboard's JSON.
func ReadDashboard(file string) (Dashboard, error) {
	data, err := os.ReadFile(file) //nolint:gosec // named by a test
	if err != nil {
		return Dashboard{}, err
	}
	var d Dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		return Dashboard{}, fmt.Errorf("read dashboard %s: %w", file, err)
	}
	return d, nil
}

// Fill puts values where a query has variables, as Grafana does.
func Fill(query string, values map[string]string) string {
	for name, value := range values {
		query = strings.ReplaceAll(query, "$"+name, value)
	}
	return query
}

// Alert is one alerting rule.
type Alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// ReadAlerts reads a file of rules.
func ReadAlerts(file string) ([]Alert, error) {
	data, err := os.ReadFile(file) //nolint:gosec // named by a test
	if err != nil {
		return nil, err
	}
	var rules struct {
		Groups []struct {
			Rules []Alert `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		return nil, fmt.Errorf("read rules %s: %w", file, err)
	}
	var all []Alert
	for _, group := range rules.Groups {
		all = append(all, group.Rules...)
	}
	return all, nil
}
