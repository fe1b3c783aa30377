/// Databases of other versions: what an older one wrote is read and added to, and nothing is kept of devices that are gone.
module Agent.Dashboard.Tests.FormatTests

open System
open System.Buffers
open System.IO
open System.Text.Json
open Agent.Receiver
open Agent.Dashboard.Store
open Agent.TestSupport.DashboardProcess
open Agent.Dashboard.Tests.StoreTests
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Expecto

/// When the fixture was written.
let private written = DateTimeOffset(2026, 11, 28, 7, 32, 28, TimeSpan.Zero)

let private micro (instant: DateTimeOffset) = RowKey.microseconds instant

/// A copy of the database that release 0.1 wrote.
let private copied (place: TemporaryDirectory) : string =
    let path = place.File "fleet.db"
    File.Copy(Fixtures.pathOf "dashboard/fleet-0.1.db", path)
    path

/// The same after this version has opened it for writing, as `serve` does.
let private takenOver (place: TemporaryDirectory) : string =
    let path = copied place
    (opened path (SetClock written)).Dispose()
    path

/// A history's answer, at the fixture's time.
let private answer (path: string) (slug: string) (server: int) (minutes: int) (until: DateTimeOffset) : JsonElement =
    use reader = new Reader(path, 48)

    let history =
        reader.Read(server, micro (until.AddMinutes(-(float minutes))), micro until, micro written)

    let output = ArrayBufferWriter<byte>()
    Responses.historyInto output slug history
    use document = JsonDocument.Parse output.WrittenMemory
    document.RootElement.Clone()

/// Every number of an answer by its path; of rows along the axis only what belongs to the last so many times of which the CPU's use is known.
let private known (count: int) (root: JsonElement) : Map<string, string> =
    let length = root.GetProperty("time").GetArrayLength()

    let kept =
        root.GetProperty("series").GetProperty("cpu_usage_percent").GetProperty("mean").EnumerateArray()
        |> Seq.indexed
        |> Seq.filter (fun (_, value) -> value.ValueKind = JsonValueKind.Number)
        |> Seq.map fst
        |> Array.ofSeq

    let kept = kept |> Array.skip (max 0 (kept.Length - count))

    let rec entries (path: string) (element: JsonElement) =
        seq {
            match element.ValueKind with
            | JsonValueKind.Object ->
                for entry in element.EnumerateObject() do
                    yield! entries $"{path}.{entry.Name}" entry.Value
            | JsonValueKind.Array when
                element.GetArrayLength() = length
                && element.EnumerateArray()
                   |> Seq.forall (fun value -> value.ValueKind = JsonValueKind.Number || value.ValueKind = JsonValueKind.Null)
                ->
                path, kept |> Seq.map (fun index -> element[index].GetRawText()) |> String.concat ","
            | JsonValueKind.Array ->
                for index, value in Seq.indexed (element.EnumerateArray()) do
                    yield! entries $"{path}[{index}]" value
            | _ -> path, element.GetRawText()
        }

    Map.ofSeq (entries "" root)

let private told (name: string) : Map<string, string> =
    use document = JsonDocument.Parse(File.ReadAllText(Fixtures.pathOf $"dashboard/{name}.json"))
    known Int32.MaxValue (document.RootElement.Clone())

/// That everything release 0.1 told is told, and the same; new series may stand beside it.
let private tellsTheSame (expected: Map<string, string>) (actual: Map<string, string>) =
    for KeyValue(path, value) in expected do
        Expect.equal (Map.tryFind path actual) (Some value) path

[<Tests>]
let tests =
    testList
        "Formats"
        [
            testCase "a database of release 0.1 answers as that release did"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = takenOver place

                answer path "gpu-a" 1 150 (DateTimeOffset(2026, 11, 25, 7, 46, 0, TimeSpan.Zero))
                |> known 20
                |> tellsTheSame (told "three-days-ago")

                answer path "prep-b" 2 240 (DateTimeOffset(2026, 11, 28, 4, 21, 0, TimeSpan.Zero))
                |> known 20
                |> tellsTheSame (told "four-hours-ago")

                answer path "gpu-a" 1 25 (DateTimeOffset(2026, 11, 28, 7, 21, 0, TimeSpan.Zero))
                |> known 30
                |> tellsTheSame (told "newest")

            testCase "a database of release 0.1 is added to, and what comes late joins a minute that is there"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = copied place
                let clock = SetClock written

                (use connection = opened path clock

                 Database.Execute(
                     connection,
                     $"UPDATE server SET slug = 'gpu-1', token_sha256 = x'{Convert.ToHexString token}' WHERE id = 1"
                 ))

                use store = new Store(path, clock)
                // Minute 07:22 of three days ago is one of those whose samples are gone.
                store.Stored(DateTimeOffset(2026, 11, 25, 7, 22, 5, TimeSpan.Zero), 100.0, 0L)
                store.Stored(written.AddMinutes -2.0, 12.5, 0L)
                // Ten minutes later a sample that came late is put into its minute.
                clock.Now <- written.AddMinutes 11.0
                settled store

                let until = DateTimeOffset(2026, 11, 25, 7, 46, 0, TimeSpan.Zero)
                let root = answer path "gpu-1" 1 150 until
                let cpu = root.GetProperty("series").GetProperty "cpu_usage_percent"

                let at (figure: string) (minute: DateTimeOffset) =
                    let index =
                        root.GetProperty("time").EnumerateArray()
                        |> Seq.findIndex (fun time -> time.GetInt64() = minute.ToUnixTimeMilliseconds())

                    cpu.GetProperty(figure).Item(index).GetDouble()

                let minute = DateTimeOffset(2026, 11, 25, 7, 22, 0, TimeSpan.Zero)
                Expect.equal (at "max" minute) 100.0 "the greatest is the late one"

                let before =
                    use document = JsonDocument.Parse(File.ReadAllText(Fixtures.pathOf "dashboard/three-days-ago.json"))
                    document.RootElement.GetProperty("series").GetProperty("cpu_usage_percent").GetProperty("mean").Item(1).GetDouble()

                // Six samples of 0.1 and one more.
                Expect.floatClose { absolute = 0.011; relative = 0.0 } (at "mean" minute) ((6.0 * before + 100.0) / 7.0) "their mean"
                Expect.equal (store.Ask "SELECT count(*) FROM format") 2L "that of 0.1, and that of today, which has series more"

            testCase "the first format is what release 0.1 wrote, as it is named in the database"
            <| fun () ->
                use place = new TemporaryDirectory()
                use connection = Database.OpenForReading(takenOver place)
                use first = new Statement(connection, "SELECT content FROM format WHERE id = 1")
                Expect.isTrue (first.Step()) "it is there"

                match Format.parse (first.Text 0) with
                | Error sentence -> failtest sentence
                | Ok format ->
                    let names (entries: Scaled[]) =
                        entries |> Array.map (fun (struct (name, _)) -> name)

                    Expect.equal (names format.Machine).Length 27 "series of a machine"
                    Expect.equal (Array.item 19 (names format.Machine)) "top_gpu_util_percent" "the 20th"

                    Expect.equal
                        (names format.Disk)
                        [|
                            "read_bytes_per_s"
                            "write_bytes_per_s"
                            "read_ops_per_s"
                            "write_ops_per_s"
                            "util_percent"
                        |]
                        "of a disk"

                    Expect.equal (names format.Gpu).Length 8 "of a GPU"

                    Expect.equal
                        format.GpuSample.Integers
                        [| "memory_total_bytes"; "memory_used_bytes"; "throttle_reasons" |]
                        "of a sample's GPU"

            testCase "a figure that older rows do not have gets its column, and shows in the view for people"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"

                (use connection = opened path (SetClock noon)

                 Database.Execute(
                     connection,
                     "DROP VIEW readable_sample; ALTER TABLE sample DROP COLUMN process_count; ALTER TABLE sample DROP COLUMN cpu_load_5"
                 ))

                use store = new Store(path, SetClock noon)
                store.Stored(noon, 50.0, 0L)

                Expect.equal
                    (store.Ask "SELECT count(*) FROM readable_sample WHERE process_count IS NULL AND cpu_load_5 IS NULL")
                    1L
                    "a row"

            testCase "layouts that no row uses are deleted, those in use stay, and a number is not given again"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(noon.AddMinutes -3.0, 10.0, 0L)
                    settled store

                    use other = opened store.Path store.Clock

                    Database.Transact(
                        other,
                        store.Clock,
                        fun () ->
                            Database.Execute(
                                other,
                                "INSERT INTO layout (id, content, format) VALUES (77, '{\"disks\":[\"gone\"],\"gpus\":[],\"fans\":[]}', 1)"
                            )

                            true
                    )
                    |> ignore

                    Expect.equal (store.Ask "SELECT count(*) FROM layout") 2L "one of them used"
                    store.Clock.Ahead <- TimeSpan.FromMinutes 9.0
                    store.Stored(noon.AddMinutes -2.0, 11.0, 0L)
                    Expect.equal (store.Ask "SELECT count(*) FROM layout") 2L "ten minutes are not over"
                    store.Clock.Ahead <- LayoutSweep.FirstAfter
                    eventually patience "it is deleted" (fun () -> store.Ask "SELECT count(*) FROM layout" = 1L)
                    store.Stored(noon.AddMinutes -1.0, 12.0, 0L)
                    Expect.equal (drawn store 10.0 "cpu_usage_percent" "mean") [ 10.0; 11.0; 12.0 ] "all that was stored is drawn"

                    Database.Execute(other, "INSERT INTO layout (content, format) VALUES ('{}', 1)")
                    Expect.equal (store.Ask "SELECT max(id) FROM layout") 78L "the next number")
        ]
