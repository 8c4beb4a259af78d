//! How the databases of a job are set up: memory that all share, and what fits each kind of state.
//!
//! INVARIANT: write buffers and blocks of all databases of a job are charged to one cache of a
//! fixed size, and what is kept before them is divided by their number, so that memory does not
//! grow with operators, subtasks or states.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, LogLevel, Options,
    ReadOptions, SliceTransform, WriteBufferManager, WriteOptions,
};

use weir_state::backends::Shape;

use crate::{
    keys,
    lists::concatenate,
    ttl::{Clock, ExpiredFactory},
};

/// The least memory a job can do with: below, every few writes would be a file.
pub(crate) const LEAST_MEMORY: usize = 8 << 20;
/// The most bytes of the write buffer of one state.
const MAX_WRITE_BUFFER: usize = 64 << 20;
/// Files that one database keeps open: many databases share what a process may open.
const OPEN_FILES: i32 = 256;
/// Bits of a bloom filter for each key.
const BLOOM_BITS: f64 = 10.0;
/// The share of a write buffer that a bloom filter over it may take beside it.
const BUFFER_BLOOM: f64 = 0.1;
/// The list of files is written anew beyond so many bytes: each checkpoint has a copy of it.
const MANIFEST_BYTES: usize = 1 << 20;
/// So much of a file is written before the system is asked to put it on the disk.
const BYTES_PER_SYNC: u64 = 4 << 20;

/// Memory that all databases of a job share.
pub(crate) struct Memory {
    cache: Cache,
    buffers: WriteBufferManager,
    bytes: usize,
    /// How many backends keep state before their databases.
    fronts: Mutex<usize>,
}

impl Memory {
    /// Memory of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.max(LEAST_MEMORY);
        let cache = Cache::new_lru_cache(for_cache(bytes));
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            for_buffers(bytes),
            false,
            cache.clone(),
        );
        Self {
            cache,
            buffers,
            bytes,
            fronts: Mutex::new(0),
        }
    }

    /// A backend that keeps state before its database: half of the memory is for all of them.
    pub(crate) fn join(&self) {
        let mut fronts = lock(&self.fronts);
        *fronts += 1;
        if *fronts == 1 {
            let rest = self.bytes / 2;
            self.buffers.set_buffer_size(for_buffers(rest));
            self.cache.clone().set_capacity(for_cache(rest));
        }
    }

    /// Such a backend is gone.
    pub(crate) fn leave(&self) {
        let mut fronts = lock(&self.fronts);
        *fronts -= 1;
        if *fronts == 0 {
            self.cache.clone().set_capacity(for_cache(self.bytes));
            self.buffers.set_buffer_size(for_buffers(self.bytes));
        }
    }

    /// The bytes that one of those backends may hold before its database.
    pub(crate) fn front(&self) -> usize {
        self.bytes / 2 / (*lock(&self.fronts)).max(1)
    }

    /// The bytes of the write buffer of one state.
    fn write_buffer(&self) -> usize {
        (self.buffers.get_buffer_size() / 2).min(MAX_WRITE_BUFFER)
    }

    /// The bytes in use of the cache, to which buffers are charged too.
    #[cfg(test)]
    pub(crate) fn usage(&self) -> usize {
        self.cache.get_usage()
    }
}

fn lock(fronts: &Mutex<usize>) -> MutexGuard<'_, usize> {
    fronts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The division between blocks and buffers is Flink's: buffers that are being written out come on
/// top of those in use, so a third is allowed for half.
fn for_cache(bytes: usize) -> usize {
    bytes / 6 * 5
}

/// See [`for_cache`].
fn for_buffers(bytes: usize) -> usize {
    bytes / 3
}

/// What holds for a whole database. There is no log of writes: what was not flushed is in no
/// checkpoint, and the job goes on from one.
pub(crate) fn database(memory: &Memory) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_write_buffer_manager(&memory.buffers);
    options.set_max_open_files(OPEN_FILES);
    options.set_max_background_jobs(2);
    options.set_atomic_flush(false);
    // The folder is dropped with the database.
    options.set_avoid_flush_during_shutdown(true);
    // One task writes at a time.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    options.set_log_level(LogLevel::Error);
    options.set_keep_log_file_num(1);
    options.set_max_manifest_file_size(MANIFEST_BYTES);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_skip_stats_update_on_db_open(true);
    options
}

/// What holds for the column family of one state.
pub(crate) fn family(memory: &Memory, shape: Shape, ttl_ms: Option<u64>, clock: &Clock) -> Options {
    let mut options = Options::default();
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&memory.cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(BLOOM_BITS, false);
    table.set_format_version(6);
    table.set_whole_key_filtering(true);
    table.set_optimize_filters_for_memory(true);
    // Lookups of single keys within a block by hash.
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(memory.write_buffer());
    options.set_arena_block_size((memory.write_buffer() / 64).clamp(16 << 10, 1 << 20));
    options.set_max_write_buffer_number(2);
    options.set_target_file_size_base(64 << 20);
    options.set_max_bytes_for_level_base(256 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_memtable_prefix_bloom_ratio(BUFFER_BLOOM);
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_batch_lookup_optimization(true);
    match shape {
        Shape::Map | Shape::Timers => {
            let prefix =
                SliceTransform::create("weir.map", keys::map_prefix, Some(keys::is_of_map));
            options.set_prefix_extractor(prefix);
        }
        Shape::List => {
            options.set_merge_operator_associative("weir.append", concatenate);
        }
        Shape::Cell | Shape::Foreign => {}
    }
    if let Some(ttl_ms) = ttl_ms {
        options.set_compaction_filter_factory(ExpiredFactory::new(shape, ttl_ms, clock.clone()));
    }
    options
}

/// How calls write.
pub(crate) fn writes() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// How calls look single keys up.
pub(crate) fn lookups() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options
}

/// How the next timers are read.
pub(crate) fn timer_scan() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options
}

/// How all of a state is read from its beginning, beside the data path.
pub(crate) fn whole_scan() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options.fill_cache(false);
    options.set_readahead_size(2 << 20);
    options
}
