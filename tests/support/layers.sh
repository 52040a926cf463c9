#!/bin/sh
# layers.sh: refuses an include that goes against the arrows of docs/ARCHITECTURE.md:
#
#   trainer -> pipeline -> comm,  trainer -> model -> comm;  pipeline and model do not know each other
#
# and keeps some libraries in their rooms. Ours are included from the root ("comm/mesh.h"). One line a breach; exit 1.
cd "$(dirname "$0")/../.." || exit 2
# shellcheck disable=SC2016
find comm model pipeline trainer -name '*.[ch]' | sort | xargs awk '
BEGIN {
    may["comm"] = "comm"
    may["model"] = "comm model"
    may["pipeline"] = "comm pipeline"
    may["trainer"] = "comm model pipeline trainer"
    # header: the only folder or file that includes it
    room["dnnl.h"] = "model/matmul"
    room["hdf5.h"] = "trainer/checkpoint/"
    room["immintrin.h"] = "model/cpu/"
    room["yaml.h"] = "trainer/config/"
}
function refuse(why) {
    printf "%s:%d: %s\n  %s\n", FILENAME, FNR, $0, why
    breaches++
}
function among(word, list) { return index(" " list " ", " " word " ") > 0 }
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    split(part[2], to, "/")
    split(FILENAME, from, "/")
    if (!(to[1] in may))
        refuse("write includes from the root of the project, e.g. \"comm/mesh.h\"")
    else if (!among(to[1], may[from[1]]))
        refuse(from[1] "/ may include " may[from[1]] " only")
    else if (part[2] ~ /^model\/cpu\// && FILENAME !~ /^model\//)
        refuse("kernels are reached through struct ops (model/ops.h)")
    else if (part[2] ~ /\.c$/)
        refuse("a .c file is compiled, not included")
}
/^[ \t]*#[ \t]*include[ \t]*</ {
    split($0, part, /[<>]/)
    if (part[2] in room && index(FILENAME, room[part[2]]) != 1)
        refuse("<" part[2] "> is included in " room[part[2]] " only")
    if (part[2] == "mpi.h" && FILENAME ~ /^model\//)
        refuse("model/ knows no ranks")
}
END { if (breaches) { printf "layers: %d includes against the arrows\n", breaches; exit 1 }
      print "layers: ok" }' || exit 1
