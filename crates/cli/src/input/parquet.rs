//! Reads Parquet files as tables. The columns have the same names and meanings as the columns of a CSV table.
//!
//! Only columns whose values are single texts, numbers or truth values are read. Unlike in a CSV table, a
//! cell with several URLs is not split.
//!
//! Invariant: the memory is limited to the description at the end of the file, one page of each column, and
//! [`AT_ONCE`] rows. Only files on the disk are read. A file that was fetched is not read, because the
//! library may panic on a malicious file.

use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::Job;
use downhaul_engine::core::list::AtLine;
use downhaul_engine::core::list::form::Facts;
use downhaul_engine::core::list::table::Header;
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::File;

/// The number of rows that are read at a time. Their values take about 100 KB.
const AT_ONCE: usize = 256;

/// The approximate number of bytes that a row would have as a line of a list.
const BYTES_OF_A_ROW: u64 = 64;

/// A Parquet file with the jobs of a list.
pub(super) struct Parquet(SerializedFileReader<File>);

impl Parquet {
    /// Reads the description at the end of a file.
    pub(super) fn open(file: File) -> Result<Parquet> {
        SerializedFileReader::new(file).map(Parquet)
    }

    /// Returns the approximate number of bytes that a list of lines with the same number of jobs would have.
    pub(super) fn bytes(&self) -> u64 {
        let rows = u64::try_from(self.0.metadata().file_metadata().num_rows()).unwrap_or(0);
        rows.saturating_mul(BYTES_OF_A_ROW)
    }

    /// Returns the jobs of the rows, each with the number of its row. If the columns cannot be used, for
    /// example because there is no column of URLs, the only item is an error.
    pub(super) fn jobs(self, facts: &Facts) -> Box<dyn Iterator<Item = AtLine> + Send> {
        match self.rows(facts) {
            Ok(rows) => Box::new(rows),
            Err(why) => Box::new([(0, Err(unreadable(&why)))].into_iter()),
        }
    }

    fn rows(self, facts: &Facts) -> std::result::Result<Rows, String> {
        let schema = self.0.metadata().file_metadata().schema_descr_ptr();
        let flat =
            |column: &ColumnDescriptor| column.max_rep_level() == 0 && column.path().parts().len() == 1;
        let columns = schema.columns().iter().enumerate();
        let columns: Vec<Column> = columns
            .filter(|(_, column)| flat(column))
            .map(|(at, column)| Column { at, most: column.max_def_level(), is_plain: is_plain(column) })
            .collect();
        let names: Vec<String> =
            columns.iter().map(|column| schema.column(column.at).name().to_string()).collect();
        let header = Header::read(&names, facts)?;
        let (group, row, over) = (0, 0, false);
        let rows = VecDeque::new();
        Ok(Rows { file: self.0, header, columns, readers: Vec::new(), left: 0, group, rows, row, over })
    }
}

struct Column {
    /// The index of the column in the file.
    at: usize,
    /// The definition level (a term of Parquet) of a value that is not null.
    most: i16,
    /// False for a column of bytes, which may be images or similar data. Such a column is read only if its
    /// name has a meaning in a list, such as `sha256`.
    is_plain: bool,
}

fn is_plain(column: &ColumnDescriptor) -> bool {
    let is_text = matches!(column.logical_type_ref(), Some(LogicalType::String | LogicalType::Enum))
        || matches!(column.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM);
    is_text || !matches!(column.physical_type(), Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY)
}

struct Rows {
    file: SerializedFileReader<File>,
    header: Header,
    columns: Vec<Column>,
    /// The readers of the columns of the open row group, or `None` for a column that is not read.
    readers: Vec<Option<ColumnReader>>,
    /// The number of rows of the open row group that were not read yet.
    left: usize,
    /// The number of the next row group.
    group: usize,
    /// The rows that were read from the file and are not yet made into jobs.
    rows: VecDeque<Vec<Value>>,
    /// The number of the row that was taken last from `rows`. The first row has the number 1.
    row: u64,
    over: bool,
}

impl Rows {
    /// Reads up to [`AT_ONCE`] rows. Returns false at the end of the file.
    fn read(&mut self) -> Result<bool> {
        while self.left == 0 {
            if self.group >= self.file.num_row_groups() {
                return Ok(false);
            }
            let group = self.file.get_row_group(self.group)?;
            self.group += 1;
            self.left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            let reader = |(number, column): (usize, &Column)| {
                let is_read = column.is_plain || self.header.is_read(number);
                is_read.then(|| group.get_column_reader(column.at)).transpose()
            };
            self.readers = self.columns.iter().enumerate().map(reader).collect::<Result<_>>()?;
        }
        let number = self.left.min(AT_ONCE);
        self.left -= number;
        let mut rows = vec![Vec::with_capacity(self.columns.len()); number];
        for (column, reader) in self.columns.iter().zip(&mut self.readers) {
            let mut values = match reader {
                Some(reader) => read_column(reader, column.most, number)?.into_iter(),
                None => Vec::new().into_iter(),
            };
            rows.iter_mut().for_each(|row| row.push(values.next().unwrap_or(Value::Null)));
        }
        self.rows = rows.into();
        Ok(true)
    }
}

impl Iterator for Rows {
    type Item = AtLine;

    fn next(&mut self) -> Option<AtLine> {
        loop {
            while let Some(cells) = self.rows.pop_front() {
                self.row += 1;
                let job: Option<std::result::Result<Job, Error>> = self.header.job(cells);
                if let Some(job) = job {
                    return Some((self.row, job.map(Box::new)));
                }
            }
            if self.over {
                return None;
            }
            match self.read() {
                Ok(is_read) => self.over = !is_read,
                Err(e) => {
                    self.over = true;
                    return Some((0, Err(unreadable(&e.to_string()))));
                }
            }
        }
    }
}

/// Returns this number of values of a column, or an error if the row group has fewer values.
fn read_column(reader: &mut ColumnReader, most: i16, number: usize) -> Result<Vec<Value>> {
    match reader {
        ColumnReader::BoolColumnReader(reader) => values(reader, most, number, |value| (*value).into()),
        ColumnReader::Int32ColumnReader(reader) => values(reader, most, number, |value| (*value).into()),
        ColumnReader::Int64ColumnReader(reader) => values(reader, most, number, |value| (*value).into()),
        ColumnReader::FloatColumnReader(reader) => values(reader, most, number, |value| (*value).into()),
        ColumnReader::DoubleColumnReader(reader) => values(reader, most, number, |value| (*value).into()),
        ColumnReader::ByteArrayColumnReader(reader) => {
            values(reader, most, number, |value| text(value.data()))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            values(reader, most, number, |value| text(value.data()))
        }
        // This type is an old form of timestamps. Such values are not read.
        ColumnReader::Int96ColumnReader(reader) => values(reader, most, number, |_| Value::Null),
    }
}

fn values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    most: i16,
    number: usize,
    value: impl Fn(&T::T) -> Value,
) -> Result<Vec<Value>> {
    let (mut levels, mut found) = (Vec::new(), Vec::new());
    let (records, ..) = reader.read_records(number, Some(&mut levels), None, &mut found)?;
    if records < number {
        return Err(ParquetError::EOF("a column has too few values".into()));
    }
    let mut found = found.iter().map(value);
    if most == 0 {
        return Ok(found.collect());
    }
    let next = |level: i16| if level == most { found.next().unwrap_or(Value::Null) } else { Value::Null };
    Ok(levels.into_iter().map(next).collect())
}

/// Returns the bytes of a cell as a text. Bytes that are not UTF-8 may be a digest, so they are written in
/// hexadecimal.
fn text(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => text.trim().into(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
    }
}

fn unreadable(why: &str) -> Error {
    Error::new(ErrorKind::ListUnreadable, "", why)
}
