package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// Failure is what the cluster does not let a command do. Its text says what to do.
type Failure struct {
	text  string
	cause error
}

func (f *Failure) Error() string { return f.text }

func (f *Failure) Unwrap() error { return f.cause }

// RefusedError is an object that the cluster does not take.
type RefusedError struct {
	text  string
	cause error
}

func (r *RefusedError) Error() string { return r.text }

func (r *RefusedError) Unwrap() error { return r.cause }

// explain says what an error of the API server means to the user of this plugin.
// right is the verb and the resource that were asked for.
func (c *Cluster) explain(right string, err error) error {
	failed := func(format string, args ...any) error {
		return &Failure{text: fmt.Sprintf(format, args...), cause: err}
	}
	where, role := " in namespace "+quote(c.Namespace), "Role"
	if c.Namespace == "" || strings.HasSuffix(right, "all namespaces") {
		where, role = " in all namespaces", "ClusterRole"
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case meta.IsNoMatchError(err):
		return failed("the cluster does not know this kind: install the operator's CRDs, of this plugin's version")
	case apierrors.IsForbidden(err) && !isAdmission(err):
		return failed("you may not %s%s: have somebody give you that right (a %s with %s)",
			strings.TrimSuffix(right, " in all namespaces"), where, role, rule(strings.TrimSuffix(right, " in all namespaces")))
	case apierrors.IsUnauthorized(err):
		return failed("the cluster does not know you: log in again (%s)", oneLine(err))
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err):
		return &RefusedError{text: "the cluster refuses it: " + oneLine(err), cause: err}
	default:
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			return failed("the cluster does not answer: check the kubeconfig and its context (%s)", oneLine(err))
		}
		return failed("%s: %s", right, oneLine(err))
	}
}

// explainGet also names what is there, for who has mistyped a name.
func (c *Cluster) explainGet(ctx context.Context, kind, name string, err error) error {
	if !apierrors.IsNotFound(err) {
		return c.explain("get mcpservers", err)
	}
	text := fmt.Sprintf("there is no %s %s in namespace %s", kind, quote(name), quote(c.Namespace))
	servers, listErr := c.Servers(ctx)
	switch {
	case listErr != nil:
	case len(servers) == 0:
		text += ", nor any other: choose a namespace with -n, or write a server with kubectl mcp init"
	default:
		const enough = 8
		var names []string
		for i := range servers {
			if i == enough {
				names = append(names, "…")
				break
			}
			names = append(names, servers[i].Name)
		}
		text += ": there is " + strings.Join(names, ", ")
	}
	return &Failure{text: text, cause: err}
}

// isAdmission tells a refusal of what is written from one of who writes.
func isAdmission(err error) bool {
	text := err.Error()
	return strings.Contains(text, "admission webhook") || strings.Contains(text, "ValidatingAdmissionPolicy") || strings.Contains(text, "exceeded quota")
}

// rule is a right as a Role writes it.
func rule(right string) string {
	verb, resource, _ := strings.Cut(right, " ")
	group := `""`
	resource, suffix, found := strings.Cut(resource, ".")
	switch {
	case found:
		group = suffix
	case resource == "mcpservers" || resource == "samplingpolicies":
		group = "mcp-sampling.dev"
	}
	return fmt.Sprintf("apiGroups: [%s], resources: [%s], verbs: [%s]", group, resource, verb)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func quote(s string) string { return fmt.Sprintf("%q", s) }

// Forbidden reports whether the user lacks a right.
func (f *Failure) Forbidden() bool { return apierrors.IsForbidden(f.cause) }
