# Duet: one file, no recursion. `make help` first.
MODE    ?= release
BUILD   ?= build/$(MODE)
CC_BASE ?= gcc
MPICC   ?= mpicc
V       ?= 0
Q       := $(if $(filter 1,$(V)),,@)
export OMPI_CC := $(CC_BASE)

PKGS    := hdf5-serial yaml-0.1 jansson libpcre2-8 libxxhash libzstd
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes -Werror
STD     := -std=c17 -D_POSIX_C_SOURCE=200809L
OPT_release := -O2 -g
OPT_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_cover   := -O0 -g --coverage
CFLAGS  := $(STD) $(OPT_$(MODE)) -ffp-contract=off -fno-math-errno -I. $(WARN) $(shell pkg-config --cflags $(PKGS) 2>/dev/null | sed 's/-I/-isystem /g') -MMD -MP -pthread
LDFLAGS := $(OPT_$(MODE)) -pthread
LIBS    := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -ldnnl -lm -ldl
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)

# --- kernels: every file of model/cpu once per instruction set and precision ---
ARCH    := $(shell uname -m)
ISAS    := $(if $(filter x86_64,$(ARCH)),base avx2 avx512,base)
MARCH_base   :=
MARCH_avx2   := -march=x86-64-v3
MARCH_avx512 := -march=x86-64-v4 -mprefer-vector-width=512
REALS   := fp32 bf16
REAL_fp32 := -DREAL_IS_BF16=0
REAL_bf16 := -DREAL_IS_BF16=1
KERNEL_OPT := $(if $(filter release,$(MODE)),-O3 -fno-trapping-math,)

KERNEL_SRC := $(wildcard model/cpu/*.c)
PLAIN_SRC  := $(wildcard model/cpu/plain/*.c)
LIB_SRC := $(wildcard comm/*.c comm/base/*.c model/*.c pipeline/*.c trainer/*/*.c trainer/*/*/*.c) $(filter-out trainer/main.c,$(wildcard trainer/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) \
  $(foreach i,$(ISAS),$(foreach r,$(REALS),$(KERNEL_SRC:%.c=$(BUILD)/%.$(i).$(r).o))) \
  $(foreach r,$(REALS),$(PLAIN_SRC:%.c=$(BUILD)/%.$(r).o))
LIB     := $(BUILD)/libduet.a
BIN     := $(BUILD)/duet

UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
PROPERTY := $(patsubst tests/property/%.c,$(BUILD)/tests/property/%,$(wildcard tests/property/test_*.c))
MPI     := $(patsubst tests/mpi/%.c,$(BUILD)/tests/mpi/%,$(wildcard tests/mpi/test_*.c))

.DEFAULT_GOAL := help
.SUFFIXES:
.SECONDARY:
.PHONY: help all clean test test-unit test-property test-mpi

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

all: $(BIN) ## build build/<mode>/duet
	@ln -sfn $(MODE)/duet build/duet 2>/dev/null || true

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(MPICC) $(CFLAGS) -c $< -o $@

define KERNEL_RULE
$(BUILD)/%.$(1).$(2).o: %.c
	@mkdir -p $$(@D)
	$$(if $$(Q),@echo "  CC    $$< ($(1), $(2))")
	$$(Q)$$(MPICC) $$(CFLAGS) $$(KERNEL_OPT) $$(MARCH_$(1)) $$(REAL_$(2)) -DVARIANT=$(1)_$(2) -DVARIANT_ISA='"$(1)"' -c $$< -o $$@
endef
$(foreach i,$(ISAS),$(foreach r,$(REALS),$(eval $(call KERNEL_RULE,$(i),$(r)))))

define PLAIN_RULE
$(BUILD)/model/cpu/plain/%.$(1).o: model/cpu/plain/%.c
	@mkdir -p $$(@D)
	$$(if $$(Q),@echo "  CC    $$< ($(1))")
	$$(Q)$$(MPICC) $$(CFLAGS) $$(REAL_$(1)) -DVARIANT=plain_$(1) -DVARIANT_ISA='"plain"' -c $$< -o $$@
endef
$(foreach r,$(REALS),$(eval $(call PLAIN_RULE,$(r))))

$(LIB): $(LIB_OBJ)
	$(if $(Q),@echo "  AR    $@")
	$(Q)rm -f $@ && ar rcs $@ $^

$(BIN): $(BUILD)/trainer/main.o $(LIB)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(MPICC) $(LDFLAGS) $^ $(LIBS) -o $@

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(MPICC) $(LDFLAGS) $^ $(CHECK_LIBS) $(LIBS) -o $@

test: test-unit test-property test-mpi ## all tests this machine can run

test-unit: $(UNIT)
	@set -e; for t in $(UNIT); do echo "== $$t"; $$t; done
test-property: $(PROPERTY)
	@set -e; for t in $(PROPERTY); do echo "== $$t"; $$t; done
# The first line of a test says /* ranks: 1 2 4 */
test-mpi: $(MPI)
	@set -e; for t in $(MPI); do \
	  for n in $$(sed -n '1s/.*ranks:\([0-9 ]*\).*/\1/p' tests/mpi/$$(basename $$t).c); do \
	    echo "== $$t on $$n"; \
	    mpirun --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 --timeout 120 -np $$n $$t; done; done

clean: ## remove build/
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
