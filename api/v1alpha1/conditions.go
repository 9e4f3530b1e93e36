package v1alpha1

// Conditions of an MCPServer. Each answers one question of its user.
const (
	// ConditionReady sums the others up: callers can use the server, and
	// sampling works if a policy is attached.
	ConditionReady = "Ready"
	// ConditionAccepted says whether the spec makes sense.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs says whether everything that is referred to is
	// there: the Service, and what the policy and spec.remote name.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionAvailable says whether the pods of server and sampler run.
	ConditionAvailable = "Available"
	// ConditionVerified says whether the server speaks MCP.
	ConditionVerified = "Verified"
	// ConditionSamplingReady says whether the server's sampling requests are
	// answered.
	ConditionSamplingReady = "SamplingReady"
)

// ConditionProgrammed, beside ConditionAccepted, is a condition of a
// SamplingPolicy: whether every ready sampler of every server that it governs
// has loaded it. While the policy is not accepted it repeats why.
const ConditionProgrammed = "Programmed"

// Reasons for Accepted.
const (
	// ReasonAccepted means that the spec makes sense.
	ReasonAccepted = "Accepted"
	// ReasonInvalidTransport means that no configuration of samplers can be made
	// from the spec.
	ReasonInvalidTransport = "InvalidTransport"
	// ReasonInvalidPodTemplate means that a podTemplate is no patch on a pod
	// template.
	ReasonInvalidPodTemplate = "InvalidPodTemplate"
	// ReasonNameConflict means that an object with a name that is needed is
	// there and belongs to somebody else.
	ReasonNameConflict = "NameConflict"
	// ReasonNetworkPolicyConflict means that a NetworkPolicy of a needed name belongs
	// to somebody else: no pods are started or replaced, as nothing would seal them
	// off, and all else goes on.
	ReasonNetworkPolicyConflict = "NetworkPolicyConflict"
	// ReasonObjectRefused means that the API server refuses an object that is
	// made from the spec.
	ReasonObjectRefused = "ObjectRefused"
	// ReasonConflicted means that other policies govern every target.
	ReasonConflicted = "Conflicted"
	// ReasonOverridden means that a target which a policy selects is governed by
	// one that names it. It is a reason in status.problems only.
	ReasonOverridden = "Overridden"
	// ReasonPodSecurity means that a pod would ask for more than the operator lets
	// pods of MCPServers have, or the namespace's Pod Security level allows.
	ReasonPodSecurity = "PodSecurity"
	// ReasonTargetNotFound means that none of the targets is there.
	ReasonTargetNotFound = "TargetNotFound"
	// ReasonInvalidPolicy means that the samplers would refuse the policy.
	ReasonInvalidPolicy = "InvalidPolicy"
)

// Reasons for ResolvedRefs.
const (
	// ReasonResolvedRefs means that everything that is referred to is there.
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonServiceNotFound means that spec.service names no Service, or one
	// without that port.
	ReasonServiceNotFound = "ServiceNotFound"
	// ReasonSecretNotFound means that a key of a provider, the password of the
	// limits' store, or the value of a header is not there.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonConfigMapNotFound means that the certificates of a remote server, of a
	// provider or of the limits' store are not there.
	ReasonConfigMapNotFound = "ConfigMapNotFound"
)

// Reasons for Available.
const (
	// ReasonAvailable means that server and sampler have ready pods.
	ReasonAvailable = "Available"
	// ReasonServerNotReady means that the server has no ready pod.
	ReasonServerNotReady = "ServerNotReady"
	// ReasonServerNotListening means that the server's container runs, and has not
	// listened on its port for longer than a start takes.
	ReasonServerNotListening = "ServerNotListening"
	// ReasonServerCrashing means that the server's container ends again and
	// again.
	ReasonServerCrashing = "ServerCrashing"
	// ReasonImagePullFailed means that an image cannot be pulled.
	ReasonImagePullFailed = "ImagePullFailed"
	// ReasonContainerRefused means that the node cannot create or start a
	// container from its description: a Secret or ConfigMap is missing, the image
	// wants to run as root where that is forbidden, or the command is not in it.
	ReasonContainerRefused = "ContainerRefused"
	// ReasonUnschedulable means that no node takes a pod.
	ReasonUnschedulable = "Unschedulable"
	// ReasonPodsRefused means that the cluster refuses to create the pods.
	ReasonPodsRefused = "PodsRefused"
	// ReasonQuotaExceeded means that a ResourceQuota of the namespace leaves no
	// room for the pods.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonSamplerCrashing means that the sampler's container ends again and
	// again.
	ReasonSamplerCrashing = "SamplerCrashing"
	// ReasonSamplerNotReady means that the sampler has no ready pod.
	ReasonSamplerNotReady = "SamplerNotReady"
	// ReasonScaledToZero means that spec.replicas is 0.
	ReasonScaledToZero = "ScaledToZero"
)

// Reasons for Verified.
const (
	// ReasonVerified means that the handshake succeeded.
	ReasonVerified = "Verified"
	// ReasonNotVerified means that no sampler has looked yet.
	ReasonNotVerified = "NotVerifiedYet"
	// ReasonResidentSessionOff means that samplers never look.
	ReasonResidentSessionOff = "ResidentSessionOff"
	// ReasonAuthorizationRequired means that the server wants credentials from
	// callers, so that samplers cannot look.
	ReasonAuthorizationRequired = "AuthorizationRequired"
	// ReasonServerUnreachable means that the server does not answer.
	ReasonServerUnreachable = "ServerUnreachable"
	// ReasonNotMCP means that what answers is no MCP server.
	ReasonNotMCP = "NotMCP"
	// ReasonWrongEra means that the server speaks MCP, but not in the era of the
	// protocol that the spec wants.
	ReasonWrongEra = "WrongEra"
)

// Reasons for SamplingReady and Programmed.
const (
	// ReasonSamplingReady means that sampling requests are answered.
	ReasonSamplingReady = "SamplingReady"
	// ReasonNoPolicy means that no SamplingPolicy targets the server.
	ReasonNoPolicy = "NoPolicy"
	// ReasonProgrammed means that every ready sampler has loaded the policy.
	ReasonProgrammed = "Programmed"
	// ReasonPending means that samplers have not loaded it yet.
	ReasonPending = "Pending"
	// ReasonReportUnreadable means that the operator cannot read what a sampler
	// reports.
	ReasonReportUnreadable = "ReportUnreadable"
	// ReasonNoSamplers means that no sampler is ready to load it.
	ReasonNoSamplers = "NoSamplers"
	// ReasonConfigRefused means that a sampler refuses the configuration.
	ReasonConfigRefused = "ConfigRefused"
	// ReasonCredentialRefused means that a provider refuses the key, or the store
	// of the limits the password. It is a reason for Verified too, where a remote
	// server refuses the headers.
	ReasonCredentialRefused = "CredentialRefused"
	// ReasonProviderUnreachable means that a provider does not answer.
	ReasonProviderUnreachable = "ProviderUnreachable"
	// ReasonProviderFailing means that a provider answers with errors.
	ReasonProviderFailing = "ProviderFailing"
	// ReasonModelNotFound means that a provider does not know a model that the
	// policy names.
	ReasonModelNotFound = "ModelNotFound"
	// ReasonLimitStoreUnreachable means that the store of the limits does not
	// answer, and that the policy refuses all requests then.
	ReasonLimitStoreUnreachable = "LimitStoreUnreachable"
)

// Reasons for Ready.
const (
	// ReasonReady means that every other condition is met.
	ReasonReady = "Ready"
)

// FieldOwner is the field manager of everything that the operator applies.
const FieldOwner = "mcp-sampling-operator"

// AnnotationConfigHash is put on sampler pods to make the kubelet look at their
// configuration at once; its value is the hash that they are to load, followed
// by a count and a time, as one look is not always enough.
const AnnotationConfigHash = "mcp-sampling.dev/config-hash"

// AnnotationRestartedAt on an MCPServer replaces the server's pods when its value, by
// custom a time, changes. They are then made as the operator's release makes them:
// an upgrade alone leaves them as they are.
const AnnotationRestartedAt = "mcp-sampling.dev/restarted-at"
