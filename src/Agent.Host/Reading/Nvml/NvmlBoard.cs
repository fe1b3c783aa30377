using Agent.Core.Gpu;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>One GPU in one opening of the library.</summary>
/// <param name="library">Asked about it.</param>
/// <param name="power">Says whether asking would wake it.</param>
/// <param name="index">Its place in the library's order.</param>
/// <param name="handle">What asking for its handle gave.</param>
/// <param name="told">What it reported about itself, which does not change while the library is open.</param>
/// <param name="identity">Who it is, as far as anybody ever knew.</param>
/// <param name="key">What its values are kept by beyond this opening.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class NvmlBoard(
    NvmlLibrary library,
    RuntimePower power,
    int index,
    Nvml.Call<nint> handle,
    NvmlBoard.Texts told,
    Nvml.Identity identity,
    string key,
    AgentClock clock)
{
    private const int NotSupported = 3;
    private const uint MemoryTemperatureField = 82;
    private const uint NvlinkSentField = 138;
    private const uint NvlinkReceivedField = 139;
    private const uint AllLinks = uint.MaxValue;

    /// <summary>MIG instances come and go by an administrator's hand.</summary>
    private static readonly TimeSpan MigPeriod = TimeSpan.FromSeconds(5);

    private volatile int lost = Nvml.MustReopen(handle.Code) ? handle.Code : 0;

    // One bit for each call of a reading: which ever answered, which did this time, and which were refused by a code that ends a session.
    private uint everAnswered;
    private uint answered;
    private uint refused;
    private int refusal;
    private int call;
    private MigInstance[] migInstances = [];
    private readonly List<nint> migAnswered = [];
    private volatile BoardUsers users = BoardUsers.None;

    // It was at work at some reading since the last costly one.
    private volatile bool wasBusy;
    private BoardWork? work;
    private TimeSpan migUntil;
    private Nvml.Field nvlinkReceived;
    private Nvml.Field nvlinkSent;
    private TimeSpan? nvlinkReadAt;

    /// <summary>Who it is.</summary>
    public Nvml.Identity Identity => identity;

    /// <summary>What its values are kept by beyond this opening.</summary>
    public string Key => key;

    /// <summary>What XID events carry.</summary>
    public nint Handle => handle.Value;

    /// <summary>True while it may be asked something.</summary>
    public bool Answers => handle.Code == 0 && lost == 0 && !IsSuspended;

    /// <summary>True while the kernel has suspended it: asking would wake it.</summary>
    public bool IsSuspended => power.IsSuspended(identity.PciBusId);

    /// <summary>True when its handle was refused, and is not any more.</summary>
    public bool IsBack => handle.Code != 0 && library.HandleByIndex(index).Code == 0;

    /// <summary>True once one of its instances was destroyed: the library gives its handle until it is opened anew.</summary>
    public bool HasGoneInstance { get; private set; }

    /// <summary>The code after which only a new opening helps; 0 while there was none.</summary>
    public int Lost => lost;

    /// <summary>True when somebody used it at the newest costly reading.</summary>
    public bool IsUsed => users.Any;

    /// <summary>What jobs did on it since the reading before; null while nobody uses it, and while it may not be asked. For one thread at a time.</summary>
    public NvmlWork.Calls? ReadWork()
    {
        if (!Answers || !users.Any)
        {
            FreeWork();
            return null;
        }

        return (work ??= new(library.Work, handle.Value, index, identity.Uuid, clock)).Read(users);
    }

    /// <summary>Gives back what readings of jobs hold. No other thread may be in <see cref="ReadWork"/>.</summary>
    public void FreeWork() => work?.Free();

    /// <summary>What changes from second to second, with what the other threads found.</summary>
    public Nvml.Device Read(FSharpValueOption<Nvml.Costly> costly, XidCounts xids)
    {
        var xid = xids.Of(Key);

        if (handle.Code != 0 || lost != 0)
        {
            return Nvml.Unreachable(index, identity, lost != 0 ? lost : handle.Code, xid);
        }

        if (IsSuspended)
        {
            return Nvml.Suspended(index, identity, xid);
        }

        var device = handle.Value;
        (answered, refused, call) = (0, 0, 0);
        var utilization = Seen(library.Utilization(device));
        wasBusy |= utilization is { Code: 0, Value.Gpu: > 0 and <= 100 };
        var memory = Seen(library.Memory(device));
        var migMode = Seen(library.MigMode(device));
        var enforcedLimit = Seen(library.EnforcedPowerLimit(device));

        var read = new Nvml.Device(
            index: index,
            handle: 0,
            name: told.Name,
            uuid: told.Uuid,
            pciBusId: told.PciBusId,
            driverVersion: told.DriverVersion,
            isSuspended: false,
            utilization: new(utilization.Code, utilization.Value.Gpu),
            memoryUtilization: new(utilization.Code, utilization.Value.Memory),
            memoryTotal: new(memory.Code, memory.Value.Total),
            memoryUsed: new(memory.Code, memory.Value.Used),
            memoryFree: new(memory.Code, memory.Value.Free),
            memoryReserved: new(memory.Code, memory.Value.Reserved),
            temperature: Seen(library.Temperature(device)),
            fanSpeed: Seen(library.FanSpeed(device)),
            power: Seen(library.Power(device)),
            enforcedPowerLimit: enforcedLimit,
            managementPowerLimit: Nvml.IsPowerLimit(enforcedLimit) ? Spared(enforcedLimit) : Seen(library.ManagementPowerLimit(device)),
            throttleReasons: Seen(library.ThrottleReasons(device)),
            clockSm: Seen(library.ClockSm(device)),
            clockMemory: Seen(library.ClockMemory(device)),
            pcieLinkGeneration: Seen(library.PcieLinkGeneration(device)),
            pcieLinkWidth: Seen(library.PcieLinkWidth(device)),
            energy: Seen(library.Energy(device)),
            encoder: Seen(library.Encoder(device)),
            decoder: Seen(library.Decoder(device)),
            memoryTemperature: Seen(library.Field(device, MemoryTemperatureField, 0)),
            migMode: migMode,
            migDevices: migMode is { Code: 0, Value: not 0 } ? ReadMig(device, xids) : [],
            costly: costly,
            xid: xid);

        if (Nvml.HasEndedSession(everAnswered, answered, refused))
        {
            lost = refusal;
        }

        everAnswered |= answered;
        return lost == 0 ? read : Nvml.Unreachable(index, identity, lost, xid);
    }

    /// <summary>What takes long: 20 ms for each direction of PCIe, and a file for each process.</summary>
    /// <param name="buffer">For lists of processes; is made larger when they do not fit.</param>
    /// <param name="nameOf">Finds the name of a process.</param>
    /// <param name="withGraphics">Whether those that only draw are wanted as well.</param>
    public Nvml.Costly ReadCostly(ref byte[] buffer, Func<int, string> nameOf, bool withGraphics)
    {
        var device = handle.Value;
        var processes = Noted(library.Processes(device, ref buffer));
        var graphics = withGraphics
            ? Nvml.Drawing(processes, Noted(library.GraphicsProcesses(device, ref buffer)))
            : new(NotSupported, []);
        var migProcesses = new List<ValueTuple<int, string, Nvml.Call<ComputeProcess[]>>>();
        var used = new List<BoardUsers.Instance>();
        var isDivided = false;

        // What an instance runs is told without the right to ask for the whole board.
        if (Noted(library.MigMode(device)) is { Code: 0, Value: not 0 })
        {
            isDivided = true;

            foreach (var instance in FindMig(device))
            {
                var own = library.Processes(instance.Handle, ref buffer);
                migProcesses.Add((instance.Index, instance.Uuid.Value, new(own.Code, Nvml.Named(nameOf, own.Value))));

                if (own.Value.Length > 0 && instance.GpuInstance.Code == 0)
                {
                    used.Add(new((int)instance.GpuInstance.Value, instance.Uuid.Value));
                }
            }
        }

        // A container without the host's PIDs, and a guest with a part of a GPU, are not told of any process.
        users = new(!isDivided && (processes.Value.Length > 0 || wasBusy), [.. used]);
        wasBusy = false;

        var received = Noted(library.Field(device, NvlinkReceivedField, AllLinks));
        var sent = Noted(library.Field(device, NvlinkSentField, AllLinks));
        var now = clock.Elapsed;
        var before = nvlinkReadAt is { } readAt
            ? FSharpValueOption<Nvml.NvlinkBefore>.NewValueSome(new(nvlinkReceived, nvlinkSent, now - readAt))
            : FSharpValueOption<Nvml.NvlinkBefore>.None;
        (nvlinkReceived, nvlinkSent, nvlinkReadAt) = (received, sent, now);

        return new(
            eccUncorrected: Noted(library.EccErrors(device, uncorrected: true, isVolatile: false)),
            eccCorrected: Noted(library.EccErrors(device, uncorrected: false, isVolatile: false)),
            eccVolatileUncorrected: Noted(library.EccErrors(device, uncorrected: true, isVolatile: true)),
            eccVolatileCorrected: Noted(library.EccErrors(device, uncorrected: false, isVolatile: true)),
            remappedRows: Noted(library.RemappedRows(device)),
            pcieReplays: Noted(library.PcieReplays(device)),
            fields: Noted(library.Fields(device, Nvml.CostlyFields)),
            pcieReceived: Noted(library.PcieThroughput(device, received: true)),
            pcieSent: Noted(library.PcieThroughput(device, received: false)),
            nvlinkReceived: received,
            nvlinkSent: sent,
            nvlinkBefore: before,
            clockSmMax: Noted(library.ClockSmMax(device)),
            powerLimitMax: Noted(library.PowerLimitMax(device)),
            processes: new(processes.Code, Nvml.Named(nameOf, processes.Value)),
            graphicsProcesses: new(graphics.Code, Nvml.Named(nameOf, graphics.Value)),
            migProcesses: [.. migProcesses]);
    }

    private Nvml.Mig[] ReadMig(nint device, XidCounts xids)
    {
        if (clock.Elapsed >= migUntil)
        {
            migUntil = clock.Elapsed + MigPeriod;
            migInstances = [.. FindMig(device)];
        }

        var read = new List<Nvml.Mig>(migInstances.Length);

        foreach (var instance in migInstances)
        {
            var memory = Noted(library.Memory(instance.Handle));

            var hasAnswered = migAnswered.Contains(instance.Handle);

            if (memory.Code == 0 && !hasAnswered)
            {
                migAnswered.Add(instance.Handle);
            }
            else if (Nvml.IsGone(memory.Code) && hasAnswered)
            {
                HasGoneInstance = true;
                continue;
            }

            read.Add(new(
                index: instance.Index,
                name: instance.Name,
                uuid: instance.Uuid,
                gpuInstance: instance.GpuInstance,
                computeInstance: instance.ComputeInstance,
                memoryTotal: new(memory.Code, memory.Value.Total),
                memoryUsed: new(memory.Code, memory.Value.Used),
                memoryFree: new(memory.Code, memory.Value.Free),
                xid: instance.GpuInstance.Code == 0 ? xids.Of(InstanceKey(instance.GpuInstance.Value)) : default));
        }

        return [.. read];
    }

    private IEnumerable<MigInstance> FindMig(nint device)
    {
        var most = Noted(library.MostMigDevices(device));

        for (var i = 0; most.Code == 0 && i < most.Value && i < Nvml.MostInstances; i++)
        {
            // Places without an instance answer NOT_FOUND.
            if (library.MigHandle(device, i) is { Code: 0, Value: var instance })
            {
                yield return new(
                    i,
                    instance,
                    library.Name(instance),
                    library.Uuid(instance),
                    library.GpuInstance(instance),
                    library.ComputeInstance(instance));
            }
        }
    }

    /// <summary>What events of one of its GPU instances are counted by; they are the board's as well.</summary>
    public string InstanceKey(uint gpuInstance) => $"{Key}/{gpuInstance}";

    private Nvml.Call<T> Seen<T>(Nvml.Call<T> call)
    {
        Count(call.Code);
        return Noted(call);
    }

    private Nvml.Field Seen(Nvml.Field field)
    {
        Count(field.Return);
        return Noted(field);
    }

    /// <summary>In the place of a call that was not needed.</summary>
    private T Spared<T>(T value)
    {
        call++;
        return value;
    }

    // Each call of a reading always has the same place in it.
    private void Count(int code)
    {
        var bit = 1u << Math.Min(call++, 31);
        answered |= code == 0 ? bit : 0;

        if (Nvml.MayEndSession(code))
        {
            refused |= bit;
            refusal = code;
        }
    }

    private Nvml.Call<T> Noted<T>(Nvml.Call<T> call)
    {
        Note(call.Code);
        return call;
    }

    private Nvml.Field Noted(Nvml.Field field)
    {
        Note(field.Return);
        return field;
    }

    private Nvml.Field[] Noted(Nvml.Field[] fields)
    {
        foreach (var field in fields)
        {
            Note(field.Return);
        }

        return fields;
    }

    private void Note(int code)
    {
        if (code != 0 && Nvml.MustReopen(code))
        {
            lost = code;
        }
    }

    /// <summary>What a board reports about itself.</summary>
    internal sealed record Texts(Nvml.Call<string> Name, Nvml.Call<string> Uuid, Nvml.Call<string> PciBusId, Nvml.Call<string> DriverVersion)
    {
        /// <summary>Of a board whose handle was refused.</summary>
        public static Texts Unknown(int code) => new(new(code, ""), new(code, ""), new(code, ""), new(code, ""));
    }

    private sealed record MigInstance(
        int Index, nint Handle, Nvml.Call<string> Name, Nvml.Call<string> Uuid, Nvml.Call<uint> GpuInstance, Nvml.Call<uint> ComputeInstance);
}
