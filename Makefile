# Duet. `make help` lists the targets; `make demo` and `make test` work as the first command.
#
# One file. It calls itself only to read itself again under another MODE (asan, cover, fuzz), whose
# objects are others. A bare machine needs no second call: build/found.mk, an included makefile, is
# made by launch/setup.sh, which installs what is missing, and GNU make then starts over with the
# flags found.
MODE    ?= release
BUILD   ?= build/$(MODE)
CC_BASE ?= gcc
MPICC   ?= mpicc
CUDA    ?= auto
SECONDS ?= 60
V       ?= 0
Q       := $(if $(filter 1,$(V)),,@)
say     = $(if $(Q),@printf '  %-5s %s\n' $(1) '$(2)')
export OMPI_CC := $(CC_BASE)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS := $(MAKEFLAGS) --no-builtin-rules --no-print-directory $(if $(filter -j% j%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))
endif

# --- what the machine offers: goals that compile need it, the others work without ---
PKGS    := hdf5-serial yaml-0.1 jansson libxxhash libpcre2-8 libutf8proc libseccomp
NEEDS_NOTHING := uninstall help clean info setup setup-dev setup-hosts layers lines format format-check ci
ifneq ($(filter-out $(NEEDS_NOTHING),$(or $(MAKECMDGOALS),help)),)
include build/found.mk
endif
build/found.mk: launch/setup.sh launch/hdf5_libs.sh launch/flint_libs.sh Makefile
	@launch/setup.sh
	@mkdir -p build
	@{ echo "FOUND_CFLAGS := $$(pkg-config --cflags $(PKGS) | sed 's/-I/-isystem /g')"; \
	   echo "FOUND_LIBS := $$(launch/hdf5_libs.sh) $$(pkg-config --libs $(filter-out hdf5-serial,$(PKGS))) -ldnnl $$(launch/flint_libs.sh) -lm -ldl"; \
	   echo "FOUND_CHECK := $$(pkg-config --libs check)"; } >$@.tmp && mv $@.tmp $@

# --- CUDA: auto, what is asked for by name is built if there is nvcc; 1, it must be; 0, nothing ---
NVCC := $(if $(filter 0,$(CUDA)),,$(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc)))
CXX_BASE := $(if $(filter %gcc,$(CC_BASE)),$(patsubst %gcc,%g++,$(CC_BASE)),g++)
CXX_FOUND := $(shell command -v $(lastword $(CXX_BASE)))
ifeq ($(CUDA)$(NVCC),1)
$(error CUDA=1: no nvcc in PATH or /usr/local/cuda/bin; install the CUDA toolkit, or leave CUDA out)
endif

# --- flags ---
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes -Werror
STD     := -std=c17 -D_POSIX_C_SOURCE=200809L
SANITIZE    := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT_release := -O2 -g
OPT_asan    := -O1 -g $(SANITIZE)
OPT_fuzz    := -O1 -g $(SANITIZE) -fsanitize=fuzzer-no-link
OPT_cover   := -O0 -g --coverage
CFLAGS  := $(STD) $(OPT_$(MODE)) -ffp-contract=off -fno-math-errno -I. $(WARN) $(FOUND_CFLAGS) -MMD -MP -pthread
LDFLAGS := $(OPT_$(MODE)) -pthread
LIBS    := $(FOUND_LIBS)

# --- kernels: every file of model/cpu once per instruction set and precision; amx/ for bf16 ---
ARCH    := $(shell uname -m)
ISAS    := $(if $(filter x86_64,$(ARCH)),base avx2 avx512,base)
MARCH_base   :=
MARCH_avx2   := -march=x86-64-v3
MARCH_avx512 := -march=x86-64-v4 -mprefer-vector-width=512
MARCH_amx    := $(MARCH_avx512) -mavx512bf16 -mamx-tile -mamx-bf16
REALS   := fp32 bf16
REAL_fp32 := -DREAL_IS_BF16=0
REAL_bf16 := -DREAL_IS_BF16=1
KERNEL_OPT := $(if $(filter release,$(MODE)),-O3 -fno-trapping-math,)

# --- sources ---
# (What is fuzzed reads bytes and needs no kernels.)
KERNEL_SRC := $(if $(filter fuzz,$(MODE)),,$(wildcard model/cpu/*.c))
AMX_SRC    := $(if $(filter fuzz,$(MODE)),,$(if $(filter x86_64,$(ARCH)),$(wildcard model/cpu/amx/*.c)))
PLAIN_SRC  := $(if $(filter fuzz,$(MODE)),,$(wildcard model/cpu/plain/*.c))
LIB_SRC := $(wildcard comm/*.c comm/base/*.c model/*.c model/tokenizer/*.c pipeline/*.c trainer/*/*.c trainer/*/*/*.c) $(filter-out trainer/main.c,$(wildcard trainer/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) \
  $(foreach i,$(ISAS),$(foreach r,$(REALS),$(KERNEL_SRC:%.c=$(BUILD)/%.$(i).$(r).o))) \
  $(AMX_SRC:%.c=$(BUILD)/%.bf16.o) \
  $(foreach r,$(REALS),$(PLAIN_SRC:%.c=$(BUILD)/%.$(r).o))
LIB     := $(BUILD)/libduet.a
BIN     := $(BUILD)/duet
SOURCES := $(sort $(wildcard $(foreach d,comm model pipeline trainer tests,$(foreach e,[ch] cu cuh cpp,$d/*.$e $d/*/*.$e $d/*/*/*.$e))))

tests_in = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/$(1)/$(2)_*.c tests/$(1)/*/$(2)_*.c))
UNIT     := $(call tests_in,unit,test)
PROPERTY := $(call tests_in,property,test)
MPI      := $(call tests_in,mpi,test)
GROWTH   := $(call tests_in,growth,test)
# (Without a C++ compiler the emulated GPU is not there: `make test` says so.)
CUDA_TESTS := $(if $(CXX_FOUND),$(call tests_in,cuda,test))
FUZZ     := $(if $(FUZZERS),$(FUZZERS:%=$(BUILD)/tests/fuzz/fuzz_%),$(call tests_in,fuzz,fuzz))
FAULTS   := $(wildcard tests/faults/test_*.sh)
GROWTH_SH := $(wildcard tests/growth/test_*.sh)
HOSTS    := $(wildcard tests/hosts/test_*.sh)
SLURM    := $(wildcard tests/slurm/test_*.sh)
RUN_TESTS := tests/support/run_tests.sh $(BUILD)

.DEFAULT_GOAL := help
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: tests install uninstall FORCE help info all clean setup setup-dev setup-hosts demo testbed cuda test-gpu test test-unit test-cuda test-property test-mpi test-faults test-hosts test-slurm test-slurm-long test-peers bench-peers asan soak fuzz \
  fuzz-run asan-run cover cover-run golden bench layers format format-check tidy lines ci

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*## */\t/' | expand -t 16
	@echo; echo "variables: V=1 shows commands, CC_BASE=clang, MODE=release|asan|cover|fuzz, SECONDS=60 (fuzz, soak), RUNS, FUZZERS (fuzz), CUDA=auto|0|1"

info: ## compilers, libraries, CUDA, machine: what was found and what is missing
	@launch/info.sh $(CC_BASE)

setup: ## install the packages that are missing (Debian), or say which
	@launch/setup.sh

setup-dev: ## also clang, clang-format, clang-tidy, cppcheck, shellcheck: for asan, fuzz, format, tidy
	@launch/setup.sh --dev

all: $(BIN) ## build build/duet
ifeq ($(BUILD),build/release)
	@ln -sfn release/duet build/duet
endif

setup-hosts: ## also sshd, iptables, Slurm: for testbed, test-hosts, test-slurm
	@launch/setup.sh --hosts

install: all ## binary, launch scripts and recipes under PREFIX (/usr/local), staged in DESTDIR
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' launch/install.sh $(BIN)
uninstall: ## remove what install put there
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' launch/install.sh $(BIN) --uninstall

testbed: all ## four hosts on this machine and a prompt on the first; as root; ARGS="8 --slurm"
	@launch/testbed/testbed.sh shell $(ARGS)

demo: all ## train a small reasoner with four ranks (about ten minutes on two cores); again: it resumes
	@launch/demo.sh

# --- compiling ---
# Objects are made again when the flags change, the library also when a file comes or goes.
$(BUILD)/flags: NOW = $(OMPI_CC) $(CFLAGS) / $(LDFLAGS) $(LIBS)
$(BUILD)/files: NOW = $(LIB_OBJ)
$(BUILD)/linked: NOW = $(CUDA_LINKED)
$(BUILD)/flags $(BUILD)/files $(BUILD)/linked: FORCE
	@mkdir -p $(@D); echo '$(NOW)' | cmp -s - $@ || echo '$(NOW)' >$@
FORCE:

# `duet --version` says the commit: one small file, compiled when another commit is checked out.
COMMIT := git describe --always --dirty --abbrev=12
$(BUILD)/commit.c: FORCE
	@mkdir -p $(@D); commit=$$([ -e .git ] && GIT_OPTIONAL_LOCKS=0 $(COMMIT) 2>/dev/null || echo unknown); \
	printf '#include "trainer/commands/commands.h"\nconst char duet_commit[] = "%s";\n' "$$commit" >$@.tmp; \
	if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi
$(BUILD)/commit.o: $(BUILD)/commit.c $(BUILD)/flags
	$(Q)$(MPICC) $(CFLAGS) -c $< -o $@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(MPICC) $(CFLAGS) -c $< -o $@

define KERNEL_RULE
$(BUILD)/%.$(1).$(2).o: %.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$< ($(1) $(2)))
	$$(Q)$$(MPICC) $$(CFLAGS) $$(KERNEL_OPT) $$(MARCH_$(1)) $$(REAL_$(2)) -DVARIANT=$(1)_$(2) -DVARIANT_ISA='"$(1)"' -c $$< -o $$@
endef
$(foreach i,$(ISAS),$(foreach r,$(REALS),$(eval $(call KERNEL_RULE,$(i),$(r)))))

$(BUILD)/model/cpu/amx/%.bf16.o: model/cpu/amx/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$< (bf16))
	$(Q)$(MPICC) $(CFLAGS) $(KERNEL_OPT) $(MARCH_amx) $(REAL_bf16) -DVARIANT=amx_bf16 -DVARIANT_ISA='"amx"' -c $< -o $@

define PLAIN_RULE
$(BUILD)/model/cpu/plain/%.$(1).o: model/cpu/plain/%.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$< ($(1)))
	$$(Q)$$(MPICC) $$(CFLAGS) $$(REAL_$(1)) -DVARIANT=plain_$(1) -DVARIANT_ISA='"plain"' -c $$< -o $$@
endef
$(foreach r,$(REALS),$(eval $(call PLAIN_RULE,$(r))))

$(LIB): $(LIB_OBJ) $(BUILD)/files
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $(LIB_OBJ)

# With CUDA=1 the objects of the cuda folders stand before those that say that there are none.
$(BIN): $(BUILD)/trainer/main.o $(BUILD)/commit.o $(LIB) $(BUILD)/linked
	$(call say,LD,$@)
	$(Q)$(MPICC) $(LDFLAGS) $(filter %.o,$^) $(LIB) $(LIBS) $(if $(CUDA_LINKED),$(CUDA_LIBS)) -o $@

$(FUZZ): LDFLAGS += -fsanitize=fuzzer
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(MPICC) $(LDFLAGS) $^ $(FOUND_CHECK) $(LIBS) -o $@

# --- CUDA sources for the host, against the emulated GPU of tests/cuda ---
CUDA_SRC := $(wildcard comm/cuda/*.cu model/cuda/*.cu)
MPI_FOR_CXX := $(addprefix -isystem ,$(shell $(MPICC) --showme:incdirs 2>/dev/null)) -DOMPI_SKIP_MPICXX
CUDA_STD := -std=c++20 -ffp-contract=off -I. $(MPI_FOR_CXX) $(OPT_$(MODE)) -pthread -MMD -MP
EMULATED := $(patsubst %,$(BUILD)/emulated/%.o,$(basename $(CUDA_SRC) $(wildcard tests/cuda/*.cu tests/cuda/emulation/*.cpp)))
define EMULATED_RULE
$(BUILD)/emulated/%.o: %.$(1) $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(call say,CXX,$$< (emulated))
	$$(Q)$(CXX_BASE) $(CUDA_STD) -Wall -Wextra -Wno-unknown-pragmas -Wno-missing-field-initializers -Werror -Itests/cuda/include -x c++ -c $$< -o $$@
endef
$(foreach e,cu cpp,$(eval $(call EMULATED_RULE,$(e))))
# `duet` itself on the emulated GPU: for tests of whole runs.
EMULATED_BIN := $(if $(CXX_FOUND),$(BUILD)/emulated/duet)
$(EMULATED_BIN): $(BUILD)/trainer/main.o $(BUILD)/commit.o $(filter-out %/planted.o,$(EMULATED)) $(LIB)
	$(call say,LD,$@)
	$(Q)$(MPICC) $(LDFLAGS) -rdynamic $^ $(LIBS) -lstdc++ -o $@
$(CUDA_TESTS): $(BUILD)/tests/cuda/%: $(BUILD)/tests/cuda/%.o $(EMULATED) $(LIB)
	$(call say,LD,$@)
	$(Q)$(MPICC) $(LDFLAGS) -rdynamic $< $(EMULATED) $(LIB) $(FOUND_CHECK) $(LIBS) -lstdc++ -o $@

# --- the same for GPUs, by nvcc: machine code for three generations and PTX for later ones ---
CUDA_ARCH  ?= 80 90a 100
CUDA_PTX   := 100
CUDA_CODE  := $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$a,code=sm_$a) $(foreach a,$(filter $(CUDA_PTX),$(CUDA_ARCH)),-gencode arch=compute_$a,code=compute_$a)
# (No contraction: what is fused is written so, and bits do not depend on the compiler's taste.)
NVCC_FLAGS := -std=c++20 -O3 -fmad=false -I. $(MPI_FOR_CXX) $(CUDA_CODE) -Werror all-warnings -Xcompiler -Wall,-Wextra,-Wno-missing-field-initializers,-Werror,-pthread -lineinfo
CUDA_LIB   := $(wildcard $(NVCC:%/bin/nvcc=%)/lib64 $(NVCC:%/bin/nvcc=%)/lib)
CUDA_LIBS  := $(CUDA_LIB:%=-L% -Wl,-rpath,%) -lcublasLt -lcudart_static -lstdc++ -lrt
CUDA_OBJ   := $(CUDA_SRC:%.cu=$(BUILD)/cuda/%.o)
# Tests that know the emulated GPU do not run on a real one.
CUDA_REAL  := $(patsubst %.c,$(BUILD)/cuda/%,$(shell grep -L emulation/emulation.h $(wildcard tests/cuda/test_*.c)))
$(BUILD)/cuda/flags: NOW = $(NVCC) $(NVCC_FLAGS)
$(BUILD)/cuda/flags: FORCE
	@mkdir -p $(@D); echo '$(NOW)' | cmp -s - $@ || echo '$(NOW)' >$@
$(BUILD)/cuda/%.o: %.cu $(BUILD)/cuda/flags
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(NVCC_FLAGS) -Xptxas -v -MMD -MP -c $< -o $@ >$(@:.o=.ptxas) 2>&1 || { cat $(@:.o=.ptxas); exit 1; }
$(CUDA_REAL): $(BUILD)/cuda/tests/cuda/%: $(BUILD)/tests/cuda/%.o $(CUDA_OBJ) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(MPICC) $(LDFLAGS) $< $(CUDA_OBJ) $(LIB) $(FOUND_CHECK) $(LIBS) $(CUDA_LIBS) -o $@
cuda: $(if $(NVCC),$(CUDA_OBJ) $(CUDA_REAL)) ## CUDA sources for GPUs, and their tests, if there is nvcc; CUDA_ARCH="90a": for these alone
	@$(if $(NVCC),tests/support/spills.sh $(CUDA_OBJ:.o=.ptxas),echo "nothing is built: $(if $(filter 0,$(CUDA)),CUDA=0,no nvcc in PATH or /usr/local/cuda/bin)")
ifeq ($(CUDA),1)
CUDA_LINKED := $(CUDA_OBJ)
$(BIN): $(CUDA_OBJ)
all: cuda
endif

# --- testing: each ends with "N passed, N failed" ---
test: all $(UNIT) $(CUDA_TESTS) $(EMULATED_BIN) $(PROPERTY) $(MPI) $(GROWTH) ## every test this machine can run
	@$(if $(CUDA_TESTS),,echo '  skip  cuda/*: no $(lastword $(CXX_BASE)) (make setup)')
	@$(RUN_TESTS) --unit $(UNIT) $(CUDA_TESTS) --property $(PROPERTY) --mpi $(MPI) --growth $(GROWTH) --faults $(GROWTH_SH) $(FAULTS) --hosts $(HOSTS) --slurm $(SLURM)
tests: all $(UNIT) $(CUDA_TESTS) $(EMULATED_BIN) $(PROPERTY) $(MPI) $(GROWTH) ## build every test, run none
test-unit: $(UNIT) ## one process, no MPI
	@$(RUN_TESTS) --unit $(UNIT)
test-cuda: all $(CUDA_TESTS) $(EMULATED_BIN) ## the CUDA sources, on an emulated GPU
	@$(RUN_TESTS) --unit $(CUDA_TESTS) --faults tests/faults/test_cuda.sh
test-gpu: cuda ## the same tests on this machine's GPU
	@$(RUN_TESTS) --unit $(CUDA_REAL)
test-property: $(PROPERTY) ## what must hold for every size up to a bound
	@$(RUN_TESTS) --property $(PROPERTY)
test-mpi: $(MPI) ## several ranks; the first line of a test says which counts
	@$(RUN_TESTS) --mpi $(MPI)
test-growth: all $(GROWTH) ## what a rank needs as ranks, answers, lines and lengths grow
	@$(RUN_TESTS) --growth $(GROWTH) --faults $(GROWTH_SH)
test-faults: all $(EMULATED_BIN) ## killed ranks, damaged files, mistaken recipes: is the message right?
	@$(RUN_TESTS) --faults $(FAULTS)
test-hosts: all ## on several hosts of a testbed; as root (make setup-hosts)
	@$(RUN_TESTS) --hosts $(HOSTS)
test-slurm: all ## as batch jobs on a testbed with Slurm; as root (make setup-hosts)
	@$(RUN_TESTS) --slurm $(SLURM)
test-slurm-long: all ## the same, with limits and time-outs as they come (ten minutes)
	@$(RUN_TESTS) --slurm $(wildcard tests/slurm/long/test_*.sh)

test-peers: all ## against tokenizers, transformers, ... with real models, in a virtual environment outside the tree
	@tests/peers/run.sh $(BIN) $(TESTS)

asan: ## unit, property, growth and MPI tests under AddressSanitizer and UBSan
	@$(MAKE) MODE=asan asan-run
asan-run: $(UNIT) $(CUDA_TESTS) $(PROPERTY) $(MPI) $(GROWTH)
	@$(RUN_TESTS) --unit $(UNIT) $(CUDA_TESTS) --property $(PROPERTY) --growth $(GROWTH) --mpi $(MPI)

soak: all ## layouts, and kills of a run with every reward, by chance, for SECONDS (60) each: resumed is unbroken, bit for bit
	@SOAK=$(SECONDS) bash tests/faults/test_any_layout.sh $(BIN) 1 $$(date +%s)
	@SOAK=$(SECONDS) bash tests/faults/test_every_reward.sh $(BIN) $$(date +%s)

fuzz: ## each fuzzer for SECONDS (60), or RUNS inputs; FUZZERS="jsonl gguf": these; needs clang
	@$(MAKE) MODE=fuzz CC_BASE=clang fuzz-run
fuzz-run: $(FUZZ)
	@tests/support/fuzz.sh $(if $(RUNS),-runs=$(RUNS),-max_total_time=$(SECONDS)) $(FUZZ)

cover: ## line coverage of unit, property and MPI tests
	@$(MAKE) MODE=cover cover-run
cover-run: $(UNIT) $(PROPERTY) $(MPI)
	@find $(BUILD) -name '*.gcda' -delete
	@$(RUN_TESTS) --unit $(UNIT) --property $(PROPERTY) --mpi $(MPI)
	@tests/support/cover.sh $(BUILD)

golden: ## make tests/golden again from tests/oracle (a reviewed change)
	@tests/support/golden.sh

bench: all ## timings with spread, as JSON in build/bench
	@tests/support/bench.sh $(BIN)

bench-peers: all ## beside PyTorch, TRL, llama.cpp, transformers: BENCH_CASES, BENCH_ROUNDS, BENCH_SCALE; in build/bench
	@tests/peers/bench.sh $(BIN)

# --- reading ---
layers: ## includes go along the arrows of docs/ARCHITECTURE.md
	@tests/support/layers.sh
lines: ## shape of the tree: lengths of functions and files, share of comments
	@tests/support/lines.sh $(SOURCES)
format: ## clang-format every file
	@clang-format -i $(SOURCES)
format-check: ## fails when clang-format would change a file
	@changed=$$(for f in $(SOURCES); do clang-format $$f | cmp -s - $$f || echo "  $$f"; done); \
	[ -z "$$changed" ] || { echo "clang-format would change (run: make format):"; echo "$$changed"; exit 1; }
tidy: ## clang-tidy and cppcheck; shellcheck on launch/
	@tests/support/tidy.sh $(CFLAGS) -- $(filter %.c,$(SOURCES))
ci: ## what must be green: format-check layers tidy all test asan
	@tests/support/ci.sh $(MAKE)

clean: ## remove build/
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
