# fish completion for sbx. Names of sandboxes are asked for only when the daemon runs already.
function __sbx_names
    sbx daemon status >/dev/null 2>&1; and sbx ls -q 2>/dev/null
end

function __sbx_verb
    set -l words (commandline -opc)
    test (count $words) -gt 1; and contains -- $words[2] $argv
end

complete -c sbx -f
complete -c sbx -n __fish_use_subcommand -a run -d 'run an agent in a sandbox'
complete -c sbx -n __fish_use_subcommand -a create -d 'create a sandbox'
complete -c sbx -n __fish_use_subcommand -a exec -d 'run a command in a sandbox'
complete -c sbx -n __fish_use_subcommand -a attach -d 'join the terminal of the agent'
complete -c sbx -n __fish_use_subcommand -a ls -d 'list sandboxes'
complete -c sbx -n __fish_use_subcommand -a inspect -d 'show one sandbox'
complete -c sbx -n __fish_use_subcommand -a start -d 'start sandboxes'
complete -c sbx -n __fish_use_subcommand -a stop -d 'stop sandboxes'
complete -c sbx -n __fish_use_subcommand -a pause -d 'let sandboxes stand still'
complete -c sbx -n __fish_use_subcommand -a resume -d 'let paused sandboxes go on'
complete -c sbx -n __fish_use_subcommand -a rm -d 'remove sandboxes'
complete -c sbx -n __fish_use_subcommand -a cp -d 'copy files into or out of a sandbox'
complete -c sbx -n __fish_use_subcommand -a logs -d 'show what was printed'
complete -c sbx -n __fish_use_subcommand -a policy -d 'what sandboxes may reach'
complete -c sbx -n __fish_use_subcommand -a approve -d 'answer requests that wait'
complete -c sbx -n __fish_use_subcommand -a secret -d 'credentials'
complete -c sbx -n __fish_use_subcommand -a settings -d 'what holds for all sandboxes'
complete -c sbx -n __fish_use_subcommand -a audit -d 'the log of decisions'
complete -c sbx -n __fish_use_subcommand -a kit -d 'agents and mixins as data'
complete -c sbx -n __fish_use_subcommand -a env -d 'a sandbox from a project file'
complete -c sbx -n __fish_use_subcommand -a image -d 'root images'
complete -c sbx -n __fish_use_subcommand -a daemon -d 'the daemon'
complete -c sbx -n __fish_use_subcommand -a diagnose -d 'check this host'
complete -c sbx -n __fish_use_subcommand -a version -d 'versions'
complete -c sbx -n __fish_use_subcommand -a completion -d 'completion script'
complete -c sbx -n __fish_use_subcommand -a help -d 'help of one command'

complete -c sbx -n '__sbx_verb exec attach inspect start stop pause resume rm logs cp' -a '(__sbx_names)'
complete -c sbx -n '__sbx_verb cp' -F
complete -c sbx -n '__sbx_verb run create' -a 'shell demo (__fish_complete_directories)'
complete -c sbx -n '__sbx_verb run create' -l name -x -d 'name of the sandbox'
complete -c sbx -n '__sbx_verb run create' -l kit -r -F -d 'add a kit'
complete -c sbx -n '__sbx_verb run create' -s t -l template -x -d 'root image'
complete -c sbx -n '__sbx_verb run create' -l pull -x -a 'missing always never' -d 'ask the registry'
complete -c sbx -n '__sbx_verb run create' -l cpus -x -d 'number of processors'
complete -c sbx -n '__sbx_verb run create' -s m -l memory -x -d memory
complete -c sbx -n '__sbx_verb run create' -l disk -x -d 'scratch disk'
complete -c sbx -n '__sbx_verb run create' -l isolation -x -a 'auto kvm emulated' -d tier
complete -c sbx -n '__sbx_verb run create' -l allow -x -d 'let it reach'
complete -c sbx -n '__sbx_verb run create' -l deny -x -d 'never let it reach'
complete -c sbx -n '__sbx_verb run create' -l allow-network -x -d 'let it reach'
complete -c sbx -n '__sbx_verb run create' -l deny-network -x -d 'never let it reach'
complete -c sbx -n '__sbx_verb run create' -l mask -x -d 'hide the contents of such files'
complete -c sbx -n '__sbx_verb run create ls image' -s q -l quiet -d 'names only'
complete -c sbx -n '__sbx_verb run create' -l plan -d 'print what would be made'
complete -c sbx -n '__sbx_verb run create exec' -s e -l env -x -d 'set a variable'
complete -c sbx -n '__sbx_verb run create exec' -l env-file -r -F -d 'variables from a file'
complete -c sbx -n '__sbx_verb run' -s d -l detached -d 'start and leave'
complete -c sbx -n '__sbx_verb run exec attach' -l detach-keys -x -d 'keys that leave'
complete -c sbx -n '__sbx_verb run' -l no-approve -d 'no questions here'
complete -c sbx -n '__sbx_verb exec' -l approve -d 'questions are shown here'
complete -c sbx -n '__sbx_verb exec' -s i -l interactive -d 'pass standard input on'
complete -c sbx -n '__sbx_verb exec' -s t -l tty -d 'a terminal'
complete -c sbx -n '__sbx_verb exec' -s u -l user -x -d user
complete -c sbx -n '__sbx_verb exec' -s w -l workdir -x -d directory
complete -c sbx -n '__sbx_verb rm' -l all -d 'all sandboxes'
complete -c sbx -n '__sbx_verb rm' -s f -l force -d 'do not ask'
complete -c sbx -n '__sbx_verb stop' -s t -l time -x -d 'grace in seconds'
complete -c sbx -n '__sbx_verb logs' -l console -d 'the kernel'
complete -c sbx -n '__sbx_verb cp' -s L -l follow-link -d 'follow SRC'
complete -c sbx -n '__sbx_verb logs' -l raw -d 'bytes as they are'
complete -c sbx -n '__sbx_verb logs' -s f -l follow -d 'go on'
complete -c sbx -n '__sbx_verb logs' -s n -l tail -x -d lines
complete -c sbx -n '__sbx_verb env' -a 'plan create run exec rm'
complete -c sbx -n '__sbx_verb env' -F
complete -c sbx -n '__sbx_verb env' -l name -x -d 'name of the sandbox'
complete -c sbx -n '__sbx_verb env' -l env-arg -x -d 'NAME=VALUE'
complete -c sbx -n '__sbx_verb env' -l env-args-file -r -F -d 'values of arguments'
complete -c sbx -n '__sbx_verb env' -s y -l auto-approve -d 'approve all of it'
complete -c sbx -n '__sbx_verb env' -l skip-host-commands -d 'run nothing on the host'
complete -c sbx -n '__sbx_verb env' -s d -l detached -d 'leave the agent alone'
complete -c sbx -n '__sbx_verb env' -l force -d 'do not ask'
complete -c sbx -n '__sbx_verb env' -s q -l quiet -d 'only errors'
complete -c sbx -n '__sbx_verb env' -l json -d 'JSON'
complete -c sbx -n '__sbx_verb kit' -a 'validate inspect pack push pull sign verify keygen ls'
complete -c sbx -n '__sbx_verb kit' -l kit -r -d 'a mixin on top'
complete -c sbx -n '__sbx_verb kit' -l kit-arg -x -d 'NAME=VALUE'
complete -c sbx -n '__sbx_verb kit' -s o -l output -r -d 'file to write'
complete -c sbx -n '__sbx_verb kit' -l key -r -F -d 'key'
complete -c sbx -n '__sbx_verb kit' -l sign -d 'sign it, too'
complete -c sbx -n '__sbx_verb image' -a 'ls build load pull rm'
complete -c sbx -n '__sbx_verb image' -l name -x -d 'what to call it'
complete -c sbx -n '__sbx_verb image' -s f -l force -d 'build anew'
complete -c sbx -n '__sbx_verb policy' -a 'init allow deny ask rm ls inspect check bypass log reset'
complete -c sbx -n '__sbx_verb policy' -l sandbox -x -d sandbox
complete -c sbx -n '__sbx_verb policy' -l method -x -d methods
complete -c sbx -n '__sbx_verb policy' -l path -x -d path
complete -c sbx -n '__sbx_verb policy' -l websocket -d 'handshakes only'
complete -c sbx -n '__sbx_verb policy' -l grpc -x -d 'calls of that method'
complete -c sbx -n '__sbx_verb policy' -l kind -x -a 'dns tcp tunnel http websocket grpc' -d 'kind of request'
complete -c sbx -n '__sbx_verb policy' -l address -x -d 'what the name resolves to'
complete -c sbx -n '__sbx_verb policy' -l source -x -a 'org user sandbox kit parent' -d 'those of'
complete -c sbx -n '__sbx_verb policy' -l decision -x -a 'allow ask deny' -d 'those that'
complete -c sbx -n '__sbx_verb policy approve' -s f -l follow -d 'go on'
complete -c sbx -n '__sbx_verb policy secret' -l force -d 'do not ask'
complete -c sbx -n '__sbx_verb policy' -s n -l limit -x -d 'the newest'
complete -c sbx -n '__sbx_verb policy' -l wide -d 'one line a rule'
complete -c sbx -n '__sbx_verb approve' -a ls
complete -c sbx -n '__sbx_verb approve' -l deny -d 'say no'
complete -c sbx -n '__sbx_verb approve' -l remember -x -a 'sandbox all' -d 'make it a rule'
complete -c sbx -n '__sbx_verb secret' -a 'set set-custom import ls rm'
complete -c sbx -n '__sbx_verb secret' -l sandbox -x -d sandbox
complete -c sbx -n '__sbx_verb secret' -l refresh -x -d 'how long it is good for'
complete -c sbx -n '__sbx_verb secret' -l dry-run -d 'say what would be done'
complete -c sbx -n '__sbx_verb secret' -l all -d 'all of them'
complete -c sbx -n '__sbx_verb secret' -l services -d 'the services that there are'
complete -c sbx -n '__sbx_verb secret' -l command -x -d 'prints the value'
complete -c sbx -n '__sbx_verb secret' -l host -x -d 'a host it is for'
complete -c sbx -n '__sbx_verb secret' -l env -x -d 'variable inside'
complete -c sbx -n '__sbx_verb secret' -l placeholder -x -d 'what stands for it'
complete -c sbx -n '__sbx_verb secret' -l header -x -d 'the header that is it'
complete -c sbx -n '__sbx_verb secret' -l format -x -d 'its value, with %s'
complete -c sbx -n '__sbx_verb secret' -l in -x -a 'header: query: basic:' -d 'another place'
complete -c sbx -n '__sbx_verb secret' -l path -x -d 'that path only'
complete -c sbx -n '__sbx_verb secret' -l name -x -d 'what to call it'
complete -c sbx -n '__sbx_verb secret' -l value -x -d 'the secret'
complete -c sbx -n '__sbx_verb secret' -s q -l quiet -d 'names only'
complete -c sbx -n '__sbx_verb secret' -l from-env -x -d variable
complete -c sbx -n '__sbx_verb audit' -a verify
complete -c sbx -n '__sbx_verb settings' -a 'list get set unset'
complete -c sbx -n '__sbx_verb daemon' -s d -l detached -d 'it always is'
complete -c sbx -n '__sbx_verb daemon' -a 'start stop restart status'
complete -c sbx -n '__sbx_verb completion' -a 'bash zsh fish'
complete -c sbx -l json -d 'JSON on stdout'
complete -c sbx -l help -d help
