/// Laws of the conversions between units.
module Agent.PropertyTests.UnitsLaws

open System
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

/// Each conversion without its units, and the factor that it stands for.
let private conversions =
    [
        "KiB", 1024, (fun (n: uint64) -> uint64 (bytesOfKib (LanguagePrimitives.UInt64WithMeasure n)))
        "MiB", 1048576, (fun n -> uint64 (bytesOfMib (LanguagePrimitives.UInt64WithMeasure n)))
        "sectors", 512, (fun n -> uint64 (bytesOfSectors (LanguagePrimitives.UInt64WithMeasure n)))
        "InfiniBand words", 4, (fun n -> uint64 (bytesOfInfinibandWords n))
    ]

let private anyNumber =
    Gen.frequency
        [
            3, Gen.choose (0, 1_000_000) |> Gen.map (fun n -> float n / 1000.0)
            1, counter |> Gen.map float
            1, Gen.elements [ 0.0; 1e-300; 1e300; Double.MaxValue; Double.Epsilon ]
        ]

let tests =
    testList
        "Units"
        [
            for name, factor, convert in conversions do
                law $"{name} as bytes: the product, or the largest value where it does not fit" counter (fun n ->
                    same (convert n) (saturated n factor))

                law $"{name} as bytes: more is never less" (Gen.zip counter counter) (fun (a, b) -> convert (min a b) <= convert (max a b))
            law "a counter on the wire is itself up to 2^63-1, and that above" counter (fun n ->
                same
                    (wireInteger n)
                    (if n > 9223372036854775807UL then
                         9223372036854775807L
                     else
                         int64 n))
            law "a part of a whole is a percentage within 0-100" (Gen.zip anyNumber anyNumber) (fun (part, whole) ->
                let percent = percentOf part whole
                percent >= 0.0<percent> && percent <= 100.0<percent>)
            law "more of the same whole is never a smaller percentage" (Gen.zip3 anyNumber anyNumber anyNumber) (fun (a, b, whole) ->
                percentOf (min a b) whole <= percentOf (max a b) whole)
            law "rounding to tenths moves by at most half a tenth, and only once" anyNumber (fun value ->
                let value = min value 1e9
                let rounded = roundToTenth value
                abs (rounded - value) <= 0.05 + 1e-7 && roundToTenth rounded = rounded)
            law "milli and kilo are thousands" (Gen.choose (0, Int32.MaxValue)) (fun n ->
                let expected = float n / 1000.0

                float (mhzOfKhz (LanguagePrimitives.FloatWithMeasure(float n))) = expected
                && float (degreesOfMilli (LanguagePrimitives.Int64WithMeasure(int64 n))) = expected
                && float (wattsOfMilli (LanguagePrimitives.UInt32WithMeasure(uint32 n))) = expected
                && float (millisecondsOfSeconds (LanguagePrimitives.FloatWithMeasure(float n))) = float n * 1000.0)
            law "KiB per second are 1024 bytes per second each" counter (fun n ->
                let n = uint32 (n &&& 0xFFFFFFFFUL)
                float (bytesPerSecondOfKib (LanguagePrimitives.UInt32WithMeasure n)) = float (uint64 n * 1024UL))
            law "MiB per second are bytes per second over 1048576" anyNumber (fun n ->
                float (mibPerSecond (LanguagePrimitives.FloatWithMeasure n)) = n / 1048576.0)
        ]
