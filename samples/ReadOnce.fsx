// What holds this machine back right now? Build first, then: dotnet fsi samples/ReadOnce.fsx
#r "../artifacts/bin/Agent.Core/debug/Agent.Core.dll"
open System
open Agent.Core
let read name = if IO.File.Exists("/proc/" + name) then IO.File.ReadAllBytes("/proc/" + name) else null
let snapshots = [ for wait in [ 0; 1000 ] -> (Threading.Thread.Sleep wait; Snapshot.ofFiles DateTimeOffset.UtcNow read) ]
let options = { Disks = [||]; Interfaces = [||]; CpuWindow = TimeSpan.Zero }
let first, second = Sample.build options ValueNone snapshots[0], Sample.build options (ValueSome snapshots[0]) snapshots[1]
let bottleneck = Bottleneck.ofSample second (Derived.from (ValueSome first) second)
printfn $"{bottleneck.Label.Name}: {bottleneck.Reason}"
