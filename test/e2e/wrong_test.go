package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// What users get wrong shows in the condition that it is about, in Ready and in an
// event, and says what to change; when that is changed all is well.
func testWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		first  func(*testing.T, *space)
		change func(*mcpv1alpha1.MCPServer)
		want   wantCondition
		mend   func(*mcpv1alpha1.MCPServer)
	}{
		"the wrong port": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Transport.Port = new(int32(9999)) },
			want: wantCondition{conditionType: mcpv1alpha1.ConditionAvailable, reason: mcpv1alpha1.ReasonServerNotListening,
				message: []string{"9999", "spec.transport.port", "kubectl logs"}},
			mend: func(s *mcpv1alpha1.MCPServer) { s.Spec.Transport.Port = nil },
		},
		"the wrong path": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Transport.Path = new("/nowhere") },
			want:   wantCondition{conditionType: mcpv1alpha1.ConditionVerified, reason: mcpv1alpha1.ReasonNotMCP, message: []string{"/nowhere", "spec.transport.path"}},
			mend:   func(s *mcpv1alpha1.MCPServer) { s.Spec.Transport.Path = nil },
		},
		"the wrong era": {
			change: func(s *mcpv1alpha1.MCPServer) {
				s.Spec.Container.Image, s.Spec.Container.Command = peersImage(), []string{"/gosdkserver", "--modern", "--strict"}
				s.Spec.Transport.ProtocolEra = mcpv1alpha1.ProtocolEraLegacy
			},
			want: wantCondition{conditionType: mcpv1alpha1.ConditionVerified, reason: mcpv1alpha1.ReasonWrongEra, message: []string{"spec.transport.protocolEra"}},
			mend: func(s *mcpv1alpha1.MCPServer) { s.Spec.Transport.ProtocolEra = mcpv1alpha1.ProtocolEraAuto },
		},
		"a quota": {
			first: func(t *testing.T, s *space) {
				s.create(t, &corev1.ResourceQuota{
					ObjectMeta: metav1.ObjectMeta{Name: "small"},
					Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
				})
			},
			change: func(*mcpv1alpha1.MCPServer) {},
			want:   wantCondition{conditionType: mcpv1alpha1.ConditionAvailable, reason: mcpv1alpha1.ReasonQuotaExceeded, message: []string{"exceeded quota: small", "ResourceQuota"}},
		},
		"Pod Security of the namespace": {
			change: func(s *mcpv1alpha1.MCPServer) {
				s.Spec.Container.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(0))}
			},
			want: wantCondition{conditionType: mcpv1alpha1.ConditionAvailable, reason: mcpv1alpha1.ReasonPodSecurity, message: []string{"PodSecurity", "runAsNonRoot"}},
			mend: func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.SecurityContext = nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSpace(t)
			if tc.first != nil {
				tc.first(t, s)
			}
			server := newServer("summarizer", tc.change)
			s.create(t, server)
			tc.want.status = metav1.ConditionFalse
			ready := tc.want
			ready.conditionType = mcpv1alpha1.ConditionReady
			s.await(t, server, tc.want, ready)
			t.Log(meta.FindStatusCondition(server.Status.Conditions, mcpv1alpha1.ConditionReady).Message)
			s.awaitEvent(t, server, tc.want.reason)
			if tc.mend == nil {
				return
			}
			patch(t, s, server, tc.mend)
			s.await(t, server, wantCondition{conditionType: mcpv1alpha1.ConditionReady, status: metav1.ConditionTrue})
		})
	}
}

// awaitEvent waits for a warning with that reason.
func (s *space) awaitEvent(t *testing.T, server *mcpv1alpha1.MCPServer, reason string) {
	t.Helper()
	eventually(t, patience, "a warning "+reason, func(ctx context.Context) error {
		out, err := s.kubectl(ctx, "", "events", "-n", s.name, "--for", "mcpserver/"+server.Name, "--types", "Warning")
		if err == nil && !strings.Contains(out, reason) {
			err = fmt.Errorf("there is none among\n%s", out)
		}
		return err
	})
}

func testUnknownModel(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t, "--models=large-1")
	server, policy := newServer("summarizer"), newPolicy("policy", "summarizer")
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	if answer, err := s.dial(t, server).call(t.Context(), "summarize", "x"); err == nil && strings.Contains(answer, fakeModel) {
		t.Errorf("without the model the tool says %q", answer)
	}
	s.await(t, server, samplingNotReady(mcpv1alpha1.ReasonModelNotFound, `"fast-1"`, "models.allowed[].model"))
	patch(t, s, policy, func(p *mcpv1alpha1.SamplingPolicy) { p.Spec.Models.Default = "large" })
	s.awaitReady(t, server, policy)
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Error(err)
	}
}
