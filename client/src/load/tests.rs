use super::*;
use crate::statement::{Statement, parse_all};
use std::path::Path;
use trine_proto::schema::TableSchema;

fn table(sql: &str) -> TableSchema {
    match parse_all(sql).unwrap().remove(0) {
        Statement::CreateTable { schema, .. } => schema,
        other => panic!("{other:?}"),
    }
}

fn people() -> TableSchema {
    table("create table people (id int not null, name varchar(12), born date, pay decimal(8,2))")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn checked(schema: &TableSchema, file: &Path, options: &LoadOptions) -> Result<Checked, SqlError> {
    check(schema, &[file.to_path_buf()], options, &LoadProgress::default())
}

fn lines(checked: &Checked) -> Vec<String> {
    let shown = |b: &BadCell| {
        let text = b.to_string();
        text[text.find(".csv").unwrap() - 1..].to_owned()
    };
    checked.bad.iter().map(shown).collect()
}

#[test]
fn bad_cells_are_reported_by_line_and_column() {
    let folder = Folder::new();
    let text = "name,id,born,pay\r\n\
                \"two\nlines\",1,2000-01-01,1.50\r\n\
                \"a\nb\",x,2000-02-30,1.505\r\n\
                \r\n\
                \n\
                far too long a name,2,,\r\n\
                short,3\r\n\
                ok,,,\r\n";
    let file = folder.file("p.csv", text);
    let checked = checked(&people(), &file, &LoadOptions::default()).unwrap();
    assert_eq!(
        lines(&checked),
        [
            "p.csv:5:2: column \"id\": not a number",
            "p.csv:5:3: column \"born\": no such day in the calendar",
            "p.csv:5:4: column \"pay\": more than 2 digits after the point",
            "p.csv:8:1: column \"name\": 19 bytes, the column takes 12",
            "p.csv:9:1: 2 fields, the header names 4",
            "p.csv:10:2: column \"id\": NULL in a column that is NOT NULL",
        ]
    );
    assert_eq!((checked.rows, checked.bad_rows, checked.bad_cells), (1, 4, 6));
    for line in lines(&checked) {
        assert!(!line.contains("too long a") && !line.contains("1.505"), "{line}");
    }
}

#[test]
fn many_bad_cells_are_counted_and_the_first_shown() {
    let folder = Folder::new();
    let file = folder.file("p.csv", &format!("id\n{}", "x\n".repeat(100)));
    let checked = checked(&people(), &file, &LoadOptions::default()).unwrap();
    assert_eq!((checked.bad.len(), checked.bad_cells), (20, 100));
    assert_eq!(checked.bad[19].line, 21);
}

#[test]
fn a_header_must_fit() {
    let folder = Folder::new();
    let state = |text: &str| {
        let file = folder.file("h.csv", text);
        checked(&people(), &file, &LoadOptions::default()).map(|c| c.rows).map_err(|e| e.sqlstate)
    };
    assert_eq!(state("\u{feff}ID, Name \n1,a\n"), Ok(1));
    assert_eq!(state("id,nothing\n"), Err("42703".into()));
    assert_eq!(state("id,ID\n"), Err("42701".into()));
    assert_eq!(state("name\na\n"), Err("23502".into()));
    assert_eq!(state(""), Err("22P04".into()));
    let missing = folder.0.path().join("no.csv");
    assert!(checked(&people(), &missing, &LoadOptions::default()).is_err());
}

#[test]
fn null_is_what_the_user_says() {
    let folder = Folder::new();
    let file = folder.file("n.csv", "id,name,pay\n1,,NA\n2,NA,\n");
    let options = LoadOptions { null: "NA".into(), ..LoadOptions::default() };
    let with = checked(&people(), &file, &options).unwrap();
    assert_eq!(lines(&with), ["n.csv:3:3: column \"pay\": not a number".to_owned()]);
    let text = table("create table t (id int, name text not null, pay text)");
    assert_eq!(checked(&text, &file, &LoadOptions::default()).unwrap().rows, 2);
}

#[test]
fn bad_rows_are_set_aside_as_they_are() {
    let folder = Folder::new();
    let file = folder.file("p.csv", "id,name\n1,a\nx,\"b,\"\"c\"\n3,d\n4\n");
    let aside = folder.0.path().join("bad.csv");
    let options = LoadOptions { skip_bad: Some(aside.clone()), ..LoadOptions::default() };
    let done = checked(&people(), &file, &options).unwrap();
    assert_eq!((done.rows, done.bad_rows), (2, 2));
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "id,name\nx,\"b,\"\"c\"\n4\n");
    assert_eq!(collect(&done).unwrap(), 2);
    let onto_itself = LoadOptions { skip_bad: Some(file.clone()), ..LoadOptions::default() };
    assert!(checked(&people(), &file, &onto_itself).is_err());
    assert!(std::fs::read_to_string(file).unwrap().starts_with("id,name\n1,a"));
}

/// Second reading without a network: rows that arrive as chunks.
fn collect(checked: &Checked) -> Result<usize, SqlError> {
    let (sender, receiver) = mpsc::sync_channel(64);
    let progress = LoadProgress::default();
    progress.start(&checked.files);
    read(checked, &sender, &progress)?;
    drop(sender);
    let once = progress.bytes_total.load(Ordering::Relaxed) / 2;
    assert_eq!(progress.bytes_done.load(Ordering::Relaxed), once);
    Ok(receiver.iter().map(|c| c.rows).sum())
}

#[test]
fn all_chunks_but_the_last_are_full() {
    let folder = Folder::new();
    let rows: String = (0..CHUNK_ROWS + 7).map(|i| format!("{i},n\n")).collect();
    let file = folder.file("p.csv", &format!("id,name\n{rows}"));
    let checked = checked(&people(), &file, &LoadOptions::default()).unwrap();
    let (sender, receiver) = mpsc::sync_channel(64);
    read(&checked, &sender, &LoadProgress::default()).unwrap();
    drop(sender);
    assert_eq!(receiver.iter().map(|c| c.rows).collect::<Vec<_>>(), [CHUNK_ROWS, 7]);
}

#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let folder = Folder::new();
    let file = folder.file("p.csv", "id\n1\n2\n");
    let done = checked(&people(), &file, &LoadOptions::default()).unwrap();
    assert_eq!(collect(&done).unwrap(), 2);
    folder.file("p.csv", "id\n1\n2\n3\n");
    assert_eq!(collect(&done).unwrap_err().sqlstate, "22P04");
    folder.file("p.csv", "id\n1\nx\n");
    assert_eq!(collect(&done).unwrap_err().sqlstate, "22P04");
}

#[test]
fn a_schema_is_proposed_and_says_what_it_tells() {
    let folder = Folder::new();
    let mut text = String::from("Id,code,kind,price,day,ok,note,big\n");
    for i in 0..20 {
        let kind = ["north", "south"][i % 2];
        let note = "n".repeat(i + 1);
        text.push_str(&format!(
            "{},0{},{kind},{}.5,2019-03-{:02},true,{note},{}\n",
            i * 7,
            100 + i,
            i,
            i + 1,
            if i == 3 { String::new() } else { format!("-{}000000000000", i + 1) }
        ));
    }
    let file = folder.file("s.csv", &text);
    let proposal = propose("sales", std::slice::from_ref(&file), "").unwrap();
    assert_eq!(
        proposal.sql(),
        "CREATE TABLE sales (
    id INT RANGE (0, 999) NOT NULL,
    code VARCHAR(8) NOT NULL,
    kind ENUM('north','south') NOT NULL,
    price DECIMAL(3,1) NOT NULL,
    day DATE RANGE ('2010-01-01', '2019-12-31') NOT NULL,
    ok BOOLEAN NOT NULL,
    note VARCHAR(24) NOT NULL,
    big BIGINT RANGE (-99999999999999, 0)
)"
    );
    assert!(proposal.public.contains(&"column kind: its values are 'north', 'south'".to_owned()));
    assert!(proposal.public.contains(&"column id: its values lie from 0 to 999".to_owned()));
    // What is proposed parses to the same schema and takes the file.
    assert_eq!(table(&proposal.sql()), proposal.schema);
    let checked = checked(&proposal.schema, &file, &LoadOptions::default()).unwrap();
    assert_eq!((checked.rows, checked.bad_cells), (20, 0));
    let empty = folder.file("e.csv", "a,b\n1,\n");
    assert!(propose("t", &[empty], "").unwrap_err().message.contains("column \"b\" has no value"));
}
