package build

import (
	"encoding/json"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// PodSecurity is a level of the Pod Security Standards that pods are held to,
// whatever their namespace allows: who may write an MCPServer need not be one who
// may create pods. The zero value is baseline.
type PodSecurity string

// The levels of the Pod Security Standards.
const (
	PodSecurityPrivileged PodSecurity = "privileged"
	PodSecurityBaseline   PodSecurity = "baseline"
	PodSecurityRestricted PodSecurity = "restricted"
)

// podSecurityError says that a pod would have more than pods may have.
type podSecurityError struct {
	fields string // where the user has asked for it
	level  PodSecurity
	detail string
}

func (e *podSecurityError) Error() string {
	return fmt.Sprintf("the operator holds all pods to the Pod Security level %q, which forbids: %s; take that out of %s, or have the operator's level changed (podSecurity.level in its Helm chart)",
		e.level, statusz.Clean(e.detail), e.fields)
}

var evaluator = sync.OnceValues(func() (policy.Evaluator, error) {
	return policy.NewEvaluator(policy.DefaultChecks(), nil)
})

// checkPodSecurity returns a *podSecurityError for a pod that asks for more than
// the level allows.
func checkPodSecurity(template *corev1ac.PodTemplateSpecApplyConfiguration, level PodSecurity, fields string) error {
	if level == "" {
		level = PodSecurityBaseline
	}
	checks, err := evaluator()
	if err != nil {
		return fmt.Errorf("set up the checks of Pod Security: %w", err)
	}
	data, err := json.Marshal(template)
	if err != nil {
		return fmt.Errorf("encode a pod template: %w", err)
	}
	var pod corev1.PodTemplateSpec
	if err := json.Unmarshal(data, &pod); err != nil {
		return fmt.Errorf("decode a pod template: %w", err)
	}
	result := policy.AggregateCheckResults(checks.EvaluatePod(
		api.LevelVersion{Level: api.Level(level), Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec))
	if result.Allowed {
		return nil
	}
	return &podSecurityError{fields: fields, level: level, detail: result.ForbiddenDetail()}
}
