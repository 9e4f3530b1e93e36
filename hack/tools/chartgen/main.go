// Command chartgen writes those parts of the Helm chart that say the same as
// config/ does: the CRDs, the rules of every role and the admission policies, so
// that what a user installs by Helm and what he installs by kustomize cannot
// drift apart.
//
// It reads config/crd/bases, config/rbac and config/admission, and writes
// templates/crds and templates/_generated.tpl of the chart.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", "../..", "root of the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "chartgen:", err)
		os.Exit(1)
	}
}

// roles maps the file of each role to the name of the template that holds its
// rules.
var roles = []struct{ file, template string }{
	{"role.yaml", "managerRules"},
	{"leader_election_role.yaml", "leaderElectionRules"},
	{"mcp_view_role.yaml", "viewRules"},
	{"mcp_edit_role.yaml", "editRules"},
}

// admissionPolicies maps the file of each admission policy to the name of the
// template that holds its spec.
var admissionPolicies = []struct{ file, template string }{
	{"mcpservers.yaml", "mcpserversAdmission"},
	{"samplingpolicies.yaml", "samplingpoliciesAdmission"},
}

func run(root string) error {
	templates := filepath.Join(root, "charts", chartName, "templates")
	if err := writeCRDs(filepath.Join(root, "config", "crd", "bases"), filepath.Join(templates, "crds")); err != nil {
		return err
	}

	var sources []roleSource
	for _, role := range roles {
		path := filepath.Join(root, "config", "rbac", role.file)
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading the rules of %s: %w", role.template, err)
		}
		sources = append(sources, roleSource{template: role.template, path: "config/rbac/" + role.file, data: data})
	}
	out, err := renderRules(sources)
	if err != nil {
		return err
	}
	admission, err := admissionTemplates(filepath.Join(root, "config", "admission"))
	if err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(templates, "_generated.tpl"), append(out, admission...))
}

func admissionTemplates(src string) ([]byte, error) {
	var sources []admissionSource
	for _, policy := range admissionPolicies {
		data, err := os.ReadFile(filepath.Join(src, policy.file))
		if err != nil {
			return nil, fmt.Errorf("reading the spec of %s: %w", policy.template, err)
		}
		sources = append(sources, admissionSource{template: policy.template, path: "config/admission/" + policy.file, data: data})
	}
	return renderAdmission(sources)
}

// writeCRDs turns every CRD in src into a template in dst, and removes the
// templates of CRDs that are gone.
func writeCRDs(src, dst string) error {
	files, err := filepath.Glob(filepath.Join(src, "*.yaml"))
	if err != nil {
		return fmt.Errorf("listing CRDs: %w", err)
	}
	if len(files) == 0 {
		return fmt.Errorf("no CRD in %s: run `make generate`, which makes them first", src)
	}
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return fmt.Errorf("making the folder of CRD templates: %w", err)
	}

	wanted := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading a CRD: %w", err)
		}
		out, err := renderCRD(data)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		wanted[filepath.Base(file)] = true
		if err := writeIfChanged(filepath.Join(dst, filepath.Base(file)), out); err != nil {
			return err
		}
	}

	have, err := filepath.Glob(filepath.Join(dst, "*.yaml"))
	if err != nil {
		return fmt.Errorf("listing CRD templates: %w", err)
	}
	for _, file := range have {
		if wanted[filepath.Base(file)] {
			continue
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("removing the template of a CRD that is gone: %w", err)
		}
	}
	return nil
}

// writeIfChanged leaves a file alone that already says the same, so that build
// caches and watchers see no change.
func writeIfChanged(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return nil
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("writing a template: %w", err)
	}
	return nil
}
