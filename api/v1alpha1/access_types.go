package v1alpha1

// AccessFrom says from where callers may connect.
//
// +kubebuilder:validation:Enum=Same;Selector;All
type AccessFrom string

const (
	// AccessFromSame lets pods of the server's own namespace in.
	AccessFromSame AccessFrom = "Same"
	// AccessFromSelector lets pods of the namespaces in that
	// access.namespaceSelector selects.
	AccessFromSelector AccessFrom = "Selector"
	// AccessFromAll lets everybody in who reaches the pods, also from outside of
	// the cluster.
	AccessFromAll AccessFrom = "All"
)

// Egress says where the server's pods may connect to.
//
// +kubebuilder:validation:Enum=Open;Restricted
type Egress string

const (
	// EgressOpen bounds nothing.
	EgressOpen Egress = "Open"
	// EgressRestricted leaves port 53 only, for name resolution.
	EgressRestricted Egress = "Restricted"
)

// Access says who may connect to the server, and where the server may connect
// to. NetworkPolicies carry it out, on clusters whose network enforces them.
//
// +kubebuilder:validation:XValidation:rule="(has(self.from) && self.from == 'Selector') == has(self.namespaceSelector)",message="access.from Selector goes with access.namespaceSelector: write both, or neither"
type Access struct {
	// from says from where callers may connect to the samplers: Same is pods of
	// this namespace, Selector pods of the namespaces that namespaceSelector
	// selects, All everybody, also from outside of the cluster, as with a load
	// balancer. Omitted means Same.
	// +optional
	// +kubebuilder:default=Same
	From AccessFrom `json:"from,omitempty"`

	// namespaceSelector selects namespaces by their labels. Each namespace has the
	// label kubernetes.io/metadata.name with its name. This namespace is not
	// selected by itself. Only with from Selector.
	// +optional
	NamespaceSelector *LabelSelector `json:"namespaceSelector,omitempty"`

	// egress says where the pods of the server may connect to: Open leaves it to
	// other NetworkPolicies of the namespace; Restricted leaves only port
	// 53, for name resolution, and what other NetworkPolicies of the namespace allow. Omitted
	// means Open. Only with container.
	// +optional
	// +kubebuilder:default=Open
	Egress Egress `json:"egress,omitempty"`
}
