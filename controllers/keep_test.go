package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

func TestAnUpgradeLeavesTheServersPodsAsTheyAre(t *testing.T) {
	for name, tc := range map[string]struct {
		unmarked bool // the release before wrote nothing down
		change   func(s *mcpv1alpha1.MCPServer)
		want     bool // another template
	}{
		"nothing is asked for": {},
		"the server is scaled": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Replicas = new(int32(3)) },
		},
		"the samplers change": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Sampler.Replicas = new(int32(2)) },
		},
		"another image": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.Image = "example.com/other:v1" }, want: true,
		},
		"another variable": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.Env = []corev1.EnvVar{{Name: "A", Value: "b"}} }, want: true,
		},
		"the user asks for new pods": {
			change: func(s *mcpv1alpha1.MCPServer) {
				s.Annotations = map[string]string{mcpv1alpha1.AnnotationRestartedAt: "2026-11-23T04:00:00Z"}
			},
			want: true,
		},
		"the release before wrote nothing down": {unmarked: true},
		"the release before wrote nothing down, and the spec has changed since": {
			unmarked: true,
			change:   func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.Env = []corev1.EnvVar{{Name: "A", Value: "b"}} }, want: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.server("demo")
			b.pass(b.reconciler(), "demo")
			b.madeEarlier("demo-server", tc.unmarked)
			before := read(b, "demo-server", &appsv1.Deployment{})

			if tc.change != nil {
				server := read(b, "demo", &mcpv1alpha1.MCPServer{})
				tc.change(server)
				if err := b.Update(t.Context(), server); err != nil {
					t.Fatal(err)
				}
			}
			later := b.reconciler()
			b.pass(later, "demo")
			b.pass(later, "demo")
			b.pass(b.reconciler(), "demo")
			after := read(b, "demo-server", &appsv1.Deployment{})
			diff := cmp.Diff(before.Spec.Template, after.Spec.Template)
			if (diff != "") != tc.want {
				t.Errorf("another template: %t, want %t (-before +after):\n%s", diff != "", tc.want, diff)
			}
			if got := *after.Spec.Template.Spec.TerminationGracePeriodSeconds == 50; got != tc.want {
				t.Errorf("made as this release makes it: %t, want %t", got, tc.want)
			}
			want := int32(1)
			if server := read(b, "demo", &mcpv1alpha1.MCPServer{}); server.Spec.Replicas != nil {
				want = *server.Spec.Replicas
			}
			if got := *after.Spec.Replicas; got != want {
				t.Errorf("%d replicas, want %d", got, want)
			}
		})
	}
}

// madeEarlier makes a Deployment be as an earlier release has left it, whose pods had
// less time to end.
func (b *bench) madeEarlier(name string, unmarked bool) {
	b.Helper()
	d, err := appsv1ac.ExtractDeployment(read(b, name, &appsv1.Deployment{}), mcpv1alpha1.FieldOwner)
	if err != nil {
		b.Fatal(err)
	}
	d.Spec.Template.Spec.WithTerminationGracePeriodSeconds(30).Containers[0].Lifecycle = nil
	d.WithAnnotations(map[string]string{"mcp-sampling.dev/template-hash": "earlier"})
	if unmarked {
		d.Annotations = nil
	}
	if err := b.Apply(b.Context(), d, client.FieldOwner(mcpv1alpha1.FieldOwner), client.ForceOwnership); err != nil {
		b.Fatal(err)
	}
}
