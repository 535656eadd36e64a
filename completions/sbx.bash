# bash completion for sbx. Names of sandboxes are asked for only when the daemon runs already.
_sbx_names()
{
	sbx daemon status >/dev/null 2>&1 && sbx ls -q 2>/dev/null
}

_sbx()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local verb=${COMP_WORDS[1]} words=""
	local making="--name --kit --kit-arg --kit-args-file --approve-kits --template --pull --cpus --memory --disk --isolation --env --env-file --mask --publish --allow --deny --allow-network --deny-network --plan --quiet --json"

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="run create exec attach ls inspect start stop pause resume rm cp logs ports policy approve secret settings audit kit env image template daemon diagnose version completion help"
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
	fi
	case $prev in
	--env-file)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--isolation)
		mapfile -t COMPREPLY < <(compgen -W "auto kvm emulated" -- "$cur")
		return
		;;
	esac
	case $verb in
	run) words="$making --detached --detach-keys --no-approve" ;;
	create) words=$making ;;
	exec) words="--interactive --tty --user --workdir --env --env-file --detach-keys --approve --json" ;;
	attach) words="--detach-keys --json" ;;
	ls) words="--json --quiet" ;;
	inspect | start | pause | resume | diagnose | version) words="--json" ;;
	stop) words="--time --json" ;;
	ports) words="--publish --unpublish --json" ;;
	rm) words="--all --force --json" ;;
	cp) words="--follow-link --json" ;;
	logs) words="--follow --console --setup --tail --raw --json" ;;
	policy) words="--sandbox --method --path --websocket --grpc --kind --address --wide --source --decision --follow --limit --force --json" ;;
	approve) words="--deny --remember --follow --json" ;;
	secret) words="--sandbox --host --env --placeholder --header --format --in --path --name --value --quiet --command --refresh --from-env --all --dry-run --services --force --json" ;;
	audit | settings) words="--json" ;;
	env) words="--name --env-arg --env-args-file --auto-approve --skip-host-commands --detached --force --quiet --json" ;;
	kit) words="--json --wide --kit --kit-arg --key --sign --approve-kits --output --force" ;;
	image) words="--json --quiet --force --name --output" ;;
	template) words="--json --quiet --force --name --output --description" ;;
	daemon) words="--detached --json" ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words --help" -- "$cur")
		return
	fi
	case $verb in
	run | create)
		if [ "$COMP_CWORD" -eq 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W "shell demo" -- "$cur")
		fi
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$cur")
		;;
	exec | attach | inspect | start | stop | pause | resume | rm | logs | ports)
		mapfile -t COMPREPLY < <(compgen -W "$(_sbx_names)" -- "$cur")
		;;
	cp)
		compopt -o nospace 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -S : -W "$(_sbx_names)" -- "$cur"; compgen -f -- "$cur")
		;;
	policy)
		if [ "$COMP_CWORD" -eq 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W "init allow deny ask rm ls inspect check bypass log reset" -- "$cur")
		elif [ "${COMP_WORDS[2]}" = init ]; then
			mapfile -t COMPREPLY < <(compgen -W "open balanced locked-down" -- "$cur")
		elif [[ ${COMP_WORDS[2]} == @(ls|log) ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_sbx_names)" -- "$cur")
		fi
		;;
	approve)
		[ "$COMP_CWORD" -eq 2 ] && mapfile -t COMPREPLY < <(compgen -W "ls" -- "$cur")
		;;
	secret)
		[ "$COMP_CWORD" -eq 2 ] && mapfile -t COMPREPLY < <(compgen -W "set set-custom import ls rm" -- "$cur")
		;;
	settings)
		[ "$COMP_CWORD" -eq 2 ] && mapfile -t COMPREPLY < <(compgen -W "list get set unset" -- "$cur")
		;;
	audit)
		[ "$COMP_CWORD" -eq 2 ] && mapfile -t COMPREPLY < <(compgen -W "verify" -- "$cur")
		;;
	kit)
		if [ "$COMP_CWORD" -eq 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W "validate inspect pack push pull sign verify keygen add approvals ls" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
		;;
	env)
		if [ "$COMP_CWORD" -eq 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W "plan create run exec rm" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
		;;
	image)
		[ "$COMP_CWORD" -eq 2 ] && mapfile -t COMPREPLY < <(compgen -W "ls build load pull save rm" -- "$cur")
		;;
	template)
		if [ "$COMP_CWORD" -eq 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W "save load ls rm" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "$(_sbx_names)" -- "$cur")
		fi
		;;
	daemon)
		[ "$COMP_CWORD" -eq 2 ] &&
			mapfile -t COMPREPLY < <(compgen -W "start stop restart status" -- "$cur")
		;;
	completion)
		mapfile -t COMPREPLY < <(compgen -W "bash zsh fish" -- "$cur")
		;;
	help)
		words="run create exec attach ls inspect start stop pause resume rm cp logs ports policy approve secret settings audit kit env image template daemon diagnose version completion"
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		;;
	esac
}
complete -F _sbx sbx
