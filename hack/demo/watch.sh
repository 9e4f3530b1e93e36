# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables are those of hack/demo.sh
# Part of hack/demo.sh: watching conditions, and explaining what went wrong.

# conditions prints a line an object: KIND/NAME, the generation, the one that its
# status is about, and of the condition that sums it up status, reason and
# message, separated by bars.
conditions() {
	local line='{range .items[*]}{.kind}/{.metadata.name}|{.metadata.generation}|{.status.observedGeneration}' field type
	for field in status reason message; do
		line+='|'
		for type in Ready Programmed; do # a server has the one, a policy the other
			line+="{.status.conditions[?(@.type==\"$type\")].$field}"
		done
	done
	kubectl_ get mcpservers.mcp-sampling.dev,samplingpolicies.mcp-sampling.dev -n "$namespace" -o jsonpath="$line{\"\\n\"}{end}"
}

# watch_conditions shows the reason in each object's summary whenever it changes,
# and what the object says of it when it lasts, until all are well.
watch_conditions() {
	local begun=$SECONDS name generation observed status reason message seen well
	local -A last=() since=()
	while :; do
		well=yes seen=
		while IFS='|' read -r name generation observed status reason message; do
			seen=yes
			if [[ $generation != "$observed" || -z $status ]]; then
				status=Unknown reason=Pending message='the operator has not looked at it yet'
			fi
			[[ $status == True ]] || well=
			if [[ ${last[$name]:-} != "$status $reason" ]]; then
				last[$name]="$status $reason" since[$name]=$SECONDS
				if [[ $status == True ]]; then reason=$green$reason$normal; fi
				printf '    %3ss  %-34s %s\n' $((SECONDS - begun)) "$name" "$reason"
			elif [[ $status != True && ${since[$name]} != told ]] && ((SECONDS - since[$name] >= 10)); then
				since[$name]=told
				printf '          %s%s%s\n' "$dim" "$message" "$normal"
			fi
		done < <(conditions)
		[[ -z $well || -z $seen ]] || return 0
		if ((SECONDS - begun > patience)); then
			printf '    not ready after %s s\n' "$patience" >&2
			return 1
		fi
		sleep 0.5
	done
}

# all_conditions prints a line a condition: KIND/NAME, type, status, reason and
# message, separated by bars.
all_conditions() {
	local kind name template='{range .status.conditions[*]}|{.type}|{.status}|{.reason}|{.message}{"\n"}{end}'
	for kind in mcpservers samplingpolicies; do
		for name in $(kubectl_ get "$kind.mcp-sampling.dev" -n "$namespace" -o name 2>/dev/null); do
			kubectl_ get "$name" -n "$namespace" -o jsonpath="$template" | sed "s#^#${name/.mcp-sampling.dev/}#"
		done
	done
}

# explain_failure shows what is known about the objects that are not well.
explain_failure() {
	if kubectl_ get namespace "$namespace" >/dev/null 2>&1; then
		echo
		echo "Conditions that are not True:"
		all_conditions | awk -F'|' '$3 != "True" {printf "  %s: %s is %s (%s): %s\n", $1, $2, $3, $4, $5}'
		echo "Pods:"
		kubectl_ get pods -n mcp-sampling-system --no-headers 2>/dev/null | sed 's/^/  /'
		kubectl_ get pods -n "$namespace" --no-headers 2>/dev/null | sed 's/^/  /'
		echo "Newest warnings:"
		kubectl_ get events -A --field-selector type=Warning --sort-by=.lastTimestamp --no-headers 2>/dev/null | tail -n 8 | cut -c1-220 | sed 's/^/  /'
		cat <<EOF

The cluster is left as it is. To look further:
  hack/demo.sh kubectl describe mcps,smp -n $namespace
  hack/demo.sh kubectl logs -n mcp-sampling-system deploy/mcp-sampling-operator
  hack/demo.sh kubectl logs -n $namespace deploy/summarizer-go-sampler
EOF
	fi
	echo "To take it down: make demo-down"
}
