/// Reports of servers, as the laws of the dashboard want them.
module Agent.PropertyTests.Dashboard.Reports

open System
open Agent.Receiver
open Agent.PropertyTests.Generators
open FsCheck
open FsCheck.FSharp

let private decimal: Gen<float> =
    Gen.frequency
        [
            2, Gen.constant nan
            6, percentage
            2, Gen.choose (0, 1000000) |> Gen.map (fun n -> float n / 1000.0)
            1, Gen.elements [ 0.0; -0.0; -3.7; 1e300; -1e300; 1e-300; 12345678901234.5; 0.1 + 0.2 ]
        ]

let private whole: Gen<int64> =
    Gen.frequency
        [
            1, Gen.constant -1L
            4, counter |> Gen.map (fun value -> int64 (min value 9223372036854775807UL))
        ]

let figures (schema: Schema) : Gen<Figures> =
    gen {
        let! decimals = Gen.arrayOfLength schema.Decimals.Length decimal
        let! wholes = Gen.arrayOfLength schema.Integers.Length whole

        return
            {
                Decimals = decimals
                Integers = wholes
            }
    }

let private labels: Gen<string[]> = upTo 3 word |> Gen.map Array.distinct

/// The devices of each kind of details; CPUs have the names that the receiver gives them.
let private details: Gen<DetailReport[][]> =
    Details.all
    |> Array.mapi (fun position kind ->
        gen {
            let! names =
                if position = Details.positionOf "cpu_cores" then
                    Gen.choose (0, 5) |> Gen.map (fun count -> Array.init count string)
                else
                    labels

            let! figures = Gen.arrayOfLength names.Length (figures kind.Schema)
            return Array.map2 (fun name figures -> ({ Name = name; Figures = figures }: DetailReport)) names figures
        })
    |> Gen.sequenceToArray

/// An instant that a sample may have, in microseconds from 2000-01-01.
let time: Gen<int64> = Gen.choose64 (0L, 1_000_000_000_000_000L)

/// A report of that instant.
let reportAt (at: int64) : Gen<Report> =
    gen {
        let! machine = figures Schema.machine
        let! devices = labels
        let! disks = Gen.arrayOfLength devices.Length (figures Schema.disk)
        let! indexes = upTo 4 (Gen.choose (0, 15)) |> Gen.map Array.distinct
        let! gpus = Gen.arrayOfLength indexes.Length (figures Schema.gpu)
        let! name = anyText
        let! fanLabels = labels
        let! fans = Gen.arrayOfLength fanLabels.Length (figures Schema.fan)
        let! details = details

        return
            {
                CollectedAt = RowKey.instant at
                Machine = machine
                Disks = Array.map2 (fun device figures -> { Device = device; Figures = figures }) devices disks
                Gpus =
                    Array.map2
                        (fun index figures ->
                            {
                                Index = index
                                Name = name
                                Uuid = $"GPU-{index}"
                                Figures = figures
                            })
                        indexes
                        gpus
                Fans = Array.map2 (fun label figures -> { Label = label; Figures = figures }) fanLabels fans
                Details = details
            }
    }

/// A report.
let report: Gen<Report> = Gen.bind reportAt time

/// Reports in the order of time, with what is derived from each and the one before it: layouts and points.
let points: Gen<(struct (Layout * Point))[]> =
    gen {
        let! start = Gen.choose64 (0L, 500_000_000_000_000L)
        let! steps = upTo 12 (Gen.choose (1, 40_000_000))
        let times = steps |> Array.scan (fun at step -> at + int64 step) start
        let! reports = times |> Array.map reportAt |> Gen.sequenceToArray

        let derive (before, _) (report: Report) =
            let derivation = Derivation.between before (Derivation.measure report)
            ValueSome derivation.Measured, ValueSome(struct (report, derivation))

        return
            reports
            |> Array.scan derive (ValueNone, ValueNone)
            |> Array.choose (fun (_, derived) -> ValueOption.toOption derived)
            |> Array.map (fun (struct (report, derivation)) ->
                let layout = Layout.ofReport report
                struct (layout, Point.ofReport layout report derivation.Rates (Derivation.labelCode derivation)))
    }
