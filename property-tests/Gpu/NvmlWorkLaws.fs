/// Laws of what NVML tells of a GPU's work.
module Agent.PropertyTests.Gpu.NvmlWorkLaws

open System
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private nanoseconds (value: uint64) : Nvml.Field =
    {
        Return = 0
        ValueType = 3
        Bits = value
    }

let private grown: Gen<uint64 * uint64 * uint64> =
    let step = Gen.choose (0, Int32.MaxValue) |> Gen.map uint64
    Gen.zip3 step step step

let private code = Gen.frequency [ 3, Gen.constant 0; 1, Gen.elements [ 3; 4; 6; 13; 15; 999 ] ]

let private metric: Gen<Nvml.Call<float>> =
    let value =
        Gen.frequency
            [
                4, Gen.choose (0, 1000) |> Gen.map (fun n -> float n / 10.0)
                1, Gen.elements [ nan; infinity; -infinity; -0.5; 100.9; 1e300 ]
            ]

    Gen.zip code value
    |> Gen.map (fun (code, value) -> { Code = code; Value = value })

let private field: Gen<Nvml.Field> =
    Gen.zip3 code (Gen.choose (0, 6)) anyUInt64
    |> Gen.map (fun (code, kind, bits) ->
        {
            Return = code
            ValueType = kind
            Bits = bits
        })

let private share: Gen<ProcessShare> =
    Gen.zip (Gen.choose (1, 9)) (Gen.choose (0, 100))
    |> Gen.map (fun (pid, share) ->
        {
            Process = pid
            Share = LanguagePrimitives.FloatWithMeasure(float share)
        })

let private calls: Gen<NvmlWork.Calls> =
    gen {
        let! gpm = Gen.elements [ 0; 3; 7; 9 ] |> Gen.bind (fun n -> Gen.arrayOfLength n metric)
        let! instances = upTo 3 (Gen.arrayOfLength 9 metric)
        let! before = Gen.elements [ 0; 2; 4 ] |> Gen.bind (fun n -> Gen.arrayOfLength n field)
        let! after = Gen.elements [ 0; 2; 4 ] |> Gen.bind (fun n -> Gen.arrayOfLength n field)
        let! milliseconds = Gen.choose (0, 100_000)
        let! sharesCode = code
        let! shares = upTo 4 share

        return
            {
                Board = 1
                BoardUuid = "GPU-1"
                Gpm = gpm
                InstanceGpm = instances |> Seq.mapi (fun i gpm -> struct ($"MIG-{i}", gpm)) |> Array.ofSeq
                Length = TimeSpan.FromMilliseconds(float milliseconds)
                ViolationsBefore = before
                Violations = after
                Shares =
                    {
                        Code = sharesCode
                        Value = Array.ofSeq shares
                    }
            }
    }

let private isShare (value: float<percent> voption) =
    match value with
    | ValueSome share -> share >= 0.0<percent> && share <= 100.0<percent>
    | ValueNone -> true

let private isRate (value: float<B / s> voption) =
    match value with
    | ValueSome rate -> rate >= 0.0<B / s> && Double.IsFinite(float rate)
    | ValueNone -> true

let tests =
    testList
        "Gpu.NvmlWork"
        [
            law "the time slowed over two intervals together is between what it is over each" grown (fun (first, one, other) ->
                let second = TimeSpan.FromSeconds 1.0
                let at total = nanoseconds total

                let share length before after =
                    (NvmlWork.violation length (at before) (at after)).Value

                let early = share second first (first + one)
                let late = share second (first + one) (first + one + other)
                let both = share (second + second) first (first + one + other)

                // A share that was cut at 100 is no mean any more.
                one > 1_000_000_000UL
                || other > 1_000_000_000UL
                || (both >= min early late - 1e-6<percent> && both <= max early late + 1e-6<percent>))
            law "a counter that fell gives no share, and one that grew a share" grown (fun (first, more, _) ->
                let second = TimeSpan.FromSeconds 1.0
                let higher = nanoseconds (first + more + 1UL)

                (NvmlWork.violation second higher (nanoseconds first)).IsNone
                && isShare (NvmlWork.violation second (nanoseconds first) higher)
                && (NvmlWork.violation second (nanoseconds first) higher).IsSome)
            law "whatever the calls give, shares are within 0-100 and rates are numbers" calls (fun calls ->
                let work = (NvmlWork.interpret [| calls |]).Work[0]

                let all = work.Gpm :: [ for one in work.Instances -> one.Gpm ]

                [
                    work.SmActivity
                    work.TensorActivity
                    work.DramActivity
                    work.PowerViolation
                    work.ThermalViolation
                ]
                |> List.append (
                    all
                    |> List.collect (fun gpm -> [ gpm.Graphics; gpm.Sm; gpm.Occupancy; gpm.Tensor; gpm.Dram ])
                )
                |> List.forall isShare
                && List.forall isRate [ work.PcieIn; work.PcieOut; work.NvlinkBoth ]
                && (all
                    |> List.collect (fun gpm -> [ gpm.PcieIn; gpm.PcieOut; gpm.NvlinkIn; gpm.NvlinkOut ])
                    |> List.forall isRate)
                && work.NvlinkBoth.IsSome = (work.Gpm.NvlinkIn.IsSome && work.Gpm.NvlinkOut.IsSome)
                && work.Shares.IsSome = (calls.Shares.Code = 0)
                && work.Instances.Length = calls.InstanceGpm.Length)
            law
                "any bytes at all give processes, each once, with a share within 0-100, never an exception"
                (Gen.zip3 anyBytes (Gen.choose (-3, 500)) (Gen.choose (0, 1000) |> Gen.map uint64))
                (fun (bytes, count, since) ->
                    let struct (newest, shares) = NvmlWork.shares (ReadOnlySpan bytes.Content) count since

                    newest >= since
                    && (shares |> Array.distinctBy _.Process).Length = shares.Length
                    && shares
                       |> Array.forall (fun one -> one.Process > 0 && isShare (ValueSome one.Share)))
            law
                "the order of processes changes no share, and no list makes one out of nothing"
                (Gen.zip (upTo 4 share) (upTo 6 (Gen.choose (1, 9))))
                (fun (shares, listed) ->
                    let shares = shares |> Array.ofSeq |> Array.distinctBy _.Process
                    let listed = Array.ofSeq listed

                    let work shares =
                        { (NvmlWork.interpret
                              [|
                                  {
                                      Board = 0
                                      BoardUuid = ""
                                      Gpm = [||]
                                      InstanceGpm = [||]
                                      Length = TimeSpan.Zero
                                      ViolationsBefore = [||]
                                      Violations = [||]
                                      Shares = { Code = 0; Value = shares }
                                  }
                              |])
                              .Work[0] with
                            GpuIndex = 0
                        }

                    [ 1..9 ]
                    |> List.forall (fun pid ->
                        let found = GpuWork.shareOf listed pid (work shares)

                        found = GpuWork.shareOf (Array.rev listed) pid (work (Array.rev shares))
                        && isShare found
                        && (match found with
                            | ValueSome share when share > 0.0<percent> -> shares |> Array.exists (fun one -> one.Process = pid)
                            | _ -> true)))
            law
                "two lists of processes together have each process once, and all of both"
                (Gen.zip (upTo 5 (Gen.choose (1, 8))) (upTo 5 (Gen.choose (1, 8))))
                (fun (one, other) ->
                    let processes (pids: int seq) =
                        pids
                        |> Seq.distinct
                        |> Seq.map (fun pid ->
                            {
                                Pid = pid
                                MemoryUsed = if pid % 2 = 0 then ValueNone else ValueSome 5UL<B>
                                Name = ""
                            })
                        |> Array.ofSeq

                    let together = ComputeProcess.together (processes one) (processes other)

                    same (together |> Array.map _.Pid |> Array.sort) (Seq.append one other |> Seq.distinct |> Seq.sort |> Array.ofSeq))
        ]
