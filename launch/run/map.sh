# shellcheck shell=bash
# map.sh: which rank runs on which host. Sourced by run.sh; pure text in, text out.
#
# rank = (d * pp + p) * tp + t (comm/mesh.h): pipeline d, stage p, tensor part t.

# map_order KIND DP PP TP: the ranks in the order in which they fill the hosts, one per line.
#   pipelines  by d, p, t: a whole pipeline (and its tensor groups) inside a host where it fits; sums of gradients cross hosts
#   experts    by p, d, t: what shares a stage (experts, tensor groups, the replicas that sum gradients) inside a host; messages
#              between stages cross hosts
#   mirrored   the same for dualpipe, where stages p and pp-1-p hold the same layers: 0, pp-1, 1, pp-2, ...
map_order() {
    awk -v kind="$1" -v dp="$2" -v pp="$3" -v tp="$4" 'BEGIN {
        for (i = 0; i < pp; i++) {
            p = kind != "mirrored" ? i : i % 2 ? pp - 1 - int(i / 2) : int(i / 2)
            for (d = 0; d < dp; d++) for (t = 0; t < tp; t++) at[n++] = (d * pp + p) * tp + t
        }
        for (i = 0; i < n; i++) print kind == "pipelines" ? i : at[i]
    }'
}

# map_hosts ORDER: from lines "host slots" on stdin and the order of the ranks: one host per line,
# for rank 0, 1, ...
map_hosts() {
    awk -v order="$1" 'BEGIN { n = split(order, rank) }
        { for (i = 0; i < $2 && filled < n; i++) host[rank[++filled]] = $1 }
        END { for (i = 0; i < n; i++) print host[i] }'
}
