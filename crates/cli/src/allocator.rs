//! The allocator of the program: mimalloc, with functions that are fast for common alignments.
//!
//! For each allocation, the crate `mimalloc` calls the functions that accept any alignment. In version 3.3 of
//! mimalloc, these functions take a slow path for most sizes, and reserve more memory than was requested.
//! With the functions for common alignments, the download of a small file takes 4 % fewer instructions.
//!
//! Only `main.rs` uses this file. Programs that use the libraries of downhaul keep their own allocator.

use libmimalloc_sys::{
    _mi_option_last, mi_free, mi_malloc, mi_malloc_aligned, mi_option_set, mi_option_t,
    mi_option_use_numa_nodes, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};
use std::alloc::{GlobalAlloc, Layout};

/// Each block of at least this many bytes that mimalloc returns has at least this alignment, in bytes
/// (`MI_MAX_ALIGN_SIZE` in `mimalloc/types.h`).
const COMMON_ALIGNMENT: usize = 16;

/// The option that says for how many milliseconds mimalloc keeps freed memory. `libmimalloc_sys` has no
/// constant for this option, but it has a constant for the option after it. The number of all options is
/// checked below: if this number is unchanged, `mimalloc.h` has the same list of options as the version for
/// which this constant was written.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;
const _: () = assert!(_mi_option_last == 47);

pub(crate) struct Allocator;

/// Returns true if mimalloc gives this alignment to all blocks of this size. Blocks of fewer bytes than
/// [`COMMON_ALIGNMENT`] may be aligned to their size only.
const fn is_common(size: usize, alignment: usize) -> bool {
    alignment <= COMMON_ALIGNMENT && alignment <= size
}

// SAFETY: mimalloc keeps the rules of this trait. It returns memory of the given size, or a null pointer, and
// never unwinds. The memory has the alignment of the layout: the functions without an alignment are called
// only if [`is_common`] is true. `mi_free`, `mi_realloc` and `mi_realloc_aligned` accept memory from each of
// the other functions. If `mi_realloc` returns the old memory, this memory had the alignment of the layout
// already.
#[expect(unsafe_code, reason = "the trait for allocators is unsafe")]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: these functions have no requirements except that the alignment is a power of two.
        let memory = unsafe {
            if is_common(size, alignment) { mi_malloc(size) } else { mi_malloc_aligned(size, alignment) }
        };
        memory.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: as in `alloc`.
        let memory = unsafe {
            if is_common(size, alignment) { mi_zalloc(size) } else { mi_zalloc_aligned(size, alignment) }
        };
        memory.cast()
    }

    unsafe fn dealloc(&self, memory: *mut u8, _layout: Layout) {
        // SAFETY: the caller got the memory from this allocator, and frees it once.
        unsafe { mi_free(memory.cast()) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let alignment = layout.align();
        // SAFETY: as in `alloc` and `dealloc`.
        let memory = unsafe {
            if is_common(size, alignment) {
                mi_realloc(memory.cast(), size)
            } else {
                mi_realloc_aligned(memory.cast(), size, alignment)
            }
        };
        memory.cast()
    }
}

/// Makes mimalloc keep freed memory for only 10 ms. When the program frees or requests other memory after
/// this time, mimalloc returns the freed memory to the system. By default, version 3 of mimalloc keeps freed
/// memory for a second or longer. With 10 ms, a run with a Parquet list of ten million rows takes 61 MiB of
/// memory in its first 15 s instead of 76 MiB, and a CSV list takes 32 MiB instead of 42 MiB. If the memory
/// were returned immediately, a CSV list would take 28 MiB, but much of this memory is needed again soon:
/// 10,000 small files would cause 1,200 to 2,500 more page faults, and take 3 % more processor time.
#[expect(unsafe_code, reason = "no safe function sets options of mimalloc")]
pub(crate) fn keep_freed_memory_briefly() {
    // SAFETY: this only stores a number in a table, and no other thread runs yet.
    unsafe { mi_option_set(PURGE_DELAY, 10) };
}
