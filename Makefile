# Ashlar: GNU make, C11, gcc or clang. `make help` lists the targets.

O      ?= build
CC     ?= cc
PREFIX ?= /usr/local
SAN    ?=
VERSION := $(shell sed -n 's/^.define ASHLAR_VERSION "\(.*\)"/\1/p' include/ashlar.h)

CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) -fPIC -fno-math-errno -Iinclude -Isrc \
             -D_GNU_SOURCE -DPCRE2_CODE_UNIT_WIDTH=8 -MMD -MP
ALL_LDFLAGS = $(LDFLAGS)
LIBS     = -lpcre2-8 -lxxhash -llapacke -lopenblas -lm -pthread
ifeq ($(shell pkg-config --exists liburing && echo yes),yes)
LIBS    += -luring
else
ALL_CFLAGS += -DASHLAR_NO_URING
endif
ifneq ($(SAN),)
ALL_CFLAGS  += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_LDFLAGS += -fsanitize=$(SAN)
endif

# ashcc alone needs these: libclang reads C, LLVM assembles, Unicorn runs, SQLite keeps, curl asks.
LLVM_CONFIG ?= llvm-config
LLVM_LIBDIR := $(shell $(LLVM_CONFIG) --libdir)
LEGO_LIBS   := -L$(LLVM_LIBDIR) -lclang $(shell $(LLVM_CONFIG) --libs) -Wl,-rpath,$(LLVM_LIBDIR) \
               -lunicorn -lsqlite3 -lcurl -ljansson
LLVM_CFLAGS := -isystem $(shell $(LLVM_CONFIG) --includedir)
$(O)/src/lego/%.o: ALL_CFLAGS += $(LLVM_CFLAGS)

# Instruction sets are chosen at run time; only these files may use their intrinsics.
# (avx2%o: a pattern's % stands for at least one character, here the dot of avx2.o.)
ARCH := $(shell $(CC) -dumpmachine | cut -d- -f1)
ifeq ($(ARCH),x86_64)
$(O)/src/kernels/avx2%o:   ISA = -mavx2 -mfma -mf16c
$(O)/src/kernels/avx512%o: ISA = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512bf16 \
                                  -mavx2 -mfma -mf16c -mprefer-vector-width=512
$(O)/src/kernels/amx%o:    ISA = -mamx-tile -mamx-bf16 -mamx-int8 -mavx512f -mavx512bw -mavx512dq -mavx512vl \
                                  -mavx512vnni -mavx512bf16 -mavx2 -mfma -mf16c -mprefer-vector-width=512
endif
ifeq ($(ARCH),aarch64)
$(O)/src/kernels/neon%o:   ISA = -march=armv8.2-a+dotprod+fp16
endif

# Layers, lowest first: a module may use those before it (docs/design.md).
MODULES := base model kernels kvswap engine
sources  = $(sort $(wildcard src/$(1)/*.c))
objects  = $(patsubst %.c,$(O)/%.o,$(call sources,$(1)))
ARCHIVES = $(MODULES:%=$(O)/%.a)
LIB_OBJECTS = $(foreach m,$(MODULES),$(call objects,$(m)))

TOOLS    := $(patsubst tools/%.c,$(O)/tools/%,$(wildcard tools/*.c))
EXAMPLES := $(patsubst examples/%.c,$(O)/examples/%,$(wildcard examples/*.c))
TESTS    := $(patsubst tests/%.c,$(O)/tests/%,$(sort $(wildcard tests/*/test_*.c)))

.PHONY: all help check fuzz train install uninstall clean examples tests tools
.SECONDARY:
.DELETE_ON_ERROR:

all: $(O)/ashlar $(O)/ashcc $(O)/libashlar.a $(O)/libashlar.so tools  ## build everything (default)
tools: $(TOOLS)
examples: $(EXAMPLES)                 ## build the example programs

help:  ## list the targets and variables
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo '  O=DIR               build folder (build)'
	@echo '  SAN=address,undefined   build with sanitizers'
	@echo '  PREFIX=DIR DESTDIR=DIR  where install puts things (/usr/local)'

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ISA) -c -o $@ $<

define archive_rule
$(O)/$(1).a: $(call objects,$(1))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach m,$(MODULES) cli lego ashcc,$(eval $(call archive_rule,$(m))))

$(O)/libashlar.a: $(LIB_OBJECTS)
	@rm -f $@
	ar rcs $@ $^

$(O)/libashlar.so: $(LIB_OBJECTS) tools/libashlar.map
	$(CC) -shared -Wl,-soname,libashlar.so.0 -Wl,--version-script=tools/libashlar.map $(ALL_LDFLAGS) -o $@ $(LIB_OBJECTS) $(LIBS)

$(O)/ashlar: $(O)/cli.a $(O)/libashlar.a
	$(CC) $(ALL_LDFLAGS) -o $@ -Wl,--whole-archive $(O)/cli.a -Wl,--no-whole-archive $(O)/libashlar.a -ljansson $(LIBS)

# The compiler: of the runtime it sees the public header only.
$(O)/ashcc: $(O)/ashcc.a $(O)/lego.a $(O)/libashlar.a
	$(CC) $(ALL_LDFLAGS) -o $@ -Wl,--whole-archive $(O)/ashcc.a -Wl,--no-whole-archive $(O)/lego.a $(O)/libashlar.a $(LEGO_LIBS) $(LIBS)

TEACHER_OBJECTS := $(patsubst %.c,$(O)/%.o,tools/teacher.c $(sort $(wildcard tools/teach/*.c)))
$(O)/tools/teacher: $(TEACHER_OBJECTS) $(O)/lego.a $(O)/libashlar.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $(TEACHER_OBJECTS) $(O)/lego.a $(O)/libashlar.a $(LEGO_LIBS) $(LIBS)

$(O)/tools/%: $(O)/tools/%.o $(O)/cli.a $(O)/libashlar.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $< $(O)/cli.a $(O)/libashlar.a -ljansson $(LIBS)

$(O)/examples/%: examples/%.c $(O)/libashlar.a
	@mkdir -p $(@D)
	$(CC) -std=c11 $(WARN) $(CFLAGS) -Iinclude $(ALL_LDFLAGS) -o $@ $< $(O)/libashlar.a $(LIBS)

# A test of a module is linked with that module and the ones below it, so a layering mistake does not link.
define test_rule
$(O)/tests/$(1)/%: $(O)/tests/$(1)/%.o $(2:%=$(O)/%.a)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) $$(TORTURE_WRAP) -o $$@ $$(filter %.o,$$^) $(2:%=$(O)/%.a) -lcmocka -ljansson $$(LIBS)
endef
$(eval $(call test_rule,base,base))
$(eval $(call test_rule,model,model base))
$(eval $(call test_rule,kernels,kernels model base))
$(eval $(call test_rule,kvswap,kvswap kernels model base))
$(eval $(call test_rule,engine,engine kvswap kernels model base))
$(eval $(call test_rule,cli,cli engine kvswap kernels model base))
$(eval $(call test_rule,lego,lego engine kvswap kernels model base))
$(O)/tests/lego/%: LIBS += $(LEGO_LIBS)

# Programs named test_torture* fail each allocation in turn (tests/torture.h).
TORTURE_TESTS := $(foreach t,$(TESTS),$(if $(findstring /test_torture,$t),$t))
$(TORTURE_TESTS): $(O)/tests/torture.o
comma := ,
$(TORTURE_TESTS): TORTURE_WRAP = $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc free aligned_alloc \
	posix_memalign strdup strndup mmap munmap pthread_create $(addsuffix _8,$(addprefix pcre2_,compile \
	code_free match match_data_create match_data_create_from_pattern match_data_free \
	match_context_create match_context_free)))

# Seeded random models for the tests of the engine.
TEST_MODELS := $(foreach m,llama-f16 llama-q4_0 qwen2-q8_0 qwen3-q4_k,$(O)/tests/models/tiny-$(m).gguf)
$(O)/tests/models/tiny-%.gguf: $(O)/tools/mkmodel
	@mkdir -p $(@D)
	$< --preset tiny --arch $(word 1,$(subst -, ,$*)) --type $(word 2,$(subst -, ,$*)) --seed 7 -o $@
# More layers than the two that the KV cache's prediction treats apart.
TEST_MODELS += $(O)/tests/models/deep-llama-f16.gguf
$(O)/tests/models/deep-%.gguf: $(O)/tools/mkmodel
	@mkdir -p $(@D)
	$< --preset tiny --layers 4 --arch $(word 1,$(subst -, ,$*)) --type $(word 2,$(subst -, ,$*)) --seed 7 -o $@

tests: all examples $(TESTS) $(TEST_MODELS)  ## build the fast tests

check: tests  ## build and run the fast tests
	tests/run $(O)

fuzz:  ## run the fuzz targets (clang), 60 s each; SECONDS_EACH=300 for longer
	tests/fuzz/run $(or $(SECONDS_EACH),60)

# mason.py's training step, for processors with AMX; nothing else needs it.
TRAIN_ISA = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512bf16 -mavx2 -mfma -mamx-tile -mamx-bf16 \
            -mprefer-vector-width=512
train: $(O)/train/libmason_step.so  ## build train/mason.py's fast training step (x86-64 with AMX)
$(O)/train/libmason_step.so: $(sort $(wildcard train/*.c train/*.h))
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -O3 -fno-math-errno -fPIC $(TRAIN_ISA) -shared $(ALL_LDFLAGS) -o $@ $(filter %.c,$^) -lm

# What is installed. The .so carries its version; programs ask for the soname, linkers for the name.
SO_FULL  = libashlar.so.$(VERSION)
BINDIR   = $(DESTDIR)$(PREFIX)/bin
LIBDIR   = $(DESTDIR)$(PREFIX)/lib
INCDIR   = $(DESTDIR)$(PREFIX)/include
MANDIR   = $(DESTDIR)$(PREFIX)/share/man/man1
SHAREDIR = $(DESTDIR)$(PREFIX)/share/ashlar
COMPDIR  = $(DESTDIR)$(PREFIX)/share/bash-completion/completions

install: $(O)/ashlar $(O)/ashcc $(O)/libashlar.a $(O)/libashlar.so  ## install programs, library, header, manuals
	install -d $(BINDIR) $(LIBDIR)/pkgconfig $(INCDIR) $(MANDIR) $(COMPDIR) $(SHAREDIR)/models $(SHAREDIR)/prompts $(SHAREDIR)/differential
	install -m 755 $(O)/ashlar $(O)/ashcc $(BINDIR)
	install -m 644 models/mason.gguf models/mason.md $(SHAREDIR)/models
	install -m 644 share/prompts/general.txt $(SHAREDIR)/prompts
	install -m 644 share/differential/harness.c share/differential/exchange.h $(SHAREDIR)/differential
	install -m 644 $(O)/libashlar.a $(LIBDIR)/libashlar.a
	install -m 755 $(O)/libashlar.so $(LIBDIR)/$(SO_FULL)
	ln -sf $(SO_FULL) $(LIBDIR)/libashlar.so.0
	ln -sf libashlar.so.0 $(LIBDIR)/libashlar.so
	install -m 644 include/ashlar.h $(INCDIR)/ashlar.h
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@LIBS@|$(LIBS)|' ashlar.pc.in > $(LIBDIR)/pkgconfig/ashlar.pc
	install -m 644 man/ashlar.1 man/ashcc.1 $(MANDIR)
	install -m 644 completions/ashlar.bash $(COMPDIR)/ashlar
	install -m 644 completions/ashcc.bash $(COMPDIR)/ashcc

uninstall:  ## remove what install put there
	rm -f $(BINDIR)/ashlar $(BINDIR)/ashcc $(LIBDIR)/libashlar.a $(LIBDIR)/$(SO_FULL) $(LIBDIR)/libashlar.so.0 $(LIBDIR)/libashlar.so
	rm -f $(INCDIR)/ashlar.h $(LIBDIR)/pkgconfig/ashlar.pc $(MANDIR)/ashlar.1 $(MANDIR)/ashcc.1 $(COMPDIR)/ashlar $(COMPDIR)/ashcc
	rm -rf $(SHAREDIR)

clean:  ## remove the build folder
	rm -rf $(O)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
