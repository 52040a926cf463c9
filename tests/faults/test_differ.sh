#!/bin/bash
# test_differ.sh DUET: problems that only one rank sees. P8: ranks agree on mistakes before they
# continue, and one reports them with its host; files that differ between hosts are refused before
# the first step. Each rank runs in its own folder, as if on its own host.
. "${BASH_SOURCE%/*}/common.sh"
cat >one.yaml <<'YAML'
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
mesh: {dp: 2}
data: {task: file, file: p.jsonl, heldout_file: h.jsonl, micro_batch_tokens: 128}
phases: [{kind: sft, steps: 2, batch: 8}]
YAML
for i in 1 2 3 4 5 6 7 8; do echo "{\"prompt\": \"$i+1\", \"answer\": \"$((i + 1))\", \"demonstration\": \"$((i + 1))\"}"; done >p.jsonl
cp p.jsonl h.jsonl
# shellcheck disable=SC2016  # for the rank's shell
printf '%s\n' '#!/bin/bash' 'cd "host$OMPI_COMM_WORLD_RANK" && exec "$UNDER_TEST" "$@"' >rank.sh
chmod +x rank.sh
export UNDER_TEST=$duet
# hosts: two folders alike; then the commands given change one of them. Sets code, out, err.
hosts() {
    rm -rf host0 host1 run
    mkdir host0 host1
    cp one.yaml p.jsonl h.jsonl host0
    cp one.yaml p.jsonl h.jsonl host1
    "$@"
    "$root/launch/run.sh" -n 2 --timeout 60 ./rank.sh train "$recipe" --set "out=$dir/run" >out 2>err <"${stdin:-/dev/null}"
    code=$?
}
# refused NAME TEXT COMMAND...
refused() {
    local name=$1 text=$2
    shift 2
    hosts "$@"
    check "$name: exit 2" equal "$code" 2
    check "$name: reported once" times 1 err "$text"
    check "$name: nothing of MPI's" hasnt err MPI_
    check "$name: no run folder" test ! -e run
}
recipe=one.yaml
hosts true
check "alike: exit 0" equal "$code" 0
refused "no data on the second" "rank 1 on $(hostname): p.jsonl" rm host1/p.jsonl
refused "no recipe on the second" "rank 1 on $(hostname): one.yaml: cannot read the recipe" rm host1/one.yaml
refused "other data" "the data file p.jsonl on host $(hostname) (rank 1) differs from the one on host $(hostname) (rank 0)" sed -i s/1+1/1+2/ host1/p.jsonl
refused "other held-out data" "the data file h.jsonl on host" sed -i s/2+1/2+2/ host1/h.jsonl
said="{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}<eos>{% endif %}{% endfor %}"
template() {
    for host in host0 host1; do
        printf '%s' "$said" >$host/t.jinja
        sed -i 's/file: p.jsonl,/& template: t.jinja,/' $host/one.yaml
    done
    printf '\n' >>host1/t.jinja
}
refused "another chat template" "the chat template t.jinja on host $(hostname) (rank 1) differs from the one on host" template
refused "another recipe" "the recipe one.yaml on host $(hostname) (rank 1) differs from the one on host" sed -i 's/batch: 8/batch: 9/' host1/one.yaml
recipe=/dev/stdin stdin=one.yaml
refused "a recipe that only rank 0 can read" "rank 1 on $(hostname): /dev/stdin: no phases" true
finish
